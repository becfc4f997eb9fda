# SPDX-License-Identifier: GPL-2.0-or-later
# Turns the output of od -t d1 into the elements of a char array.
{
	for (i = 1; i <= NF; i++)
		printf "%s,", $i
	print ""
}

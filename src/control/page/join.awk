# SPDX-License-Identifier: GPL-2.0-or-later
# Puts the styles and scripts of the status page in the place of their marks.
function put(file, line)
{
	while ((getline line < file) > 0)
		print line
	close(file)
}
/^@style@$/ { put("page.css"); next }
/^@script@$/ {
	put("state.js")
	put("list.js")
	put("panel.js")
	put("host.js")
	put("main.js")
	next
}
{ print }

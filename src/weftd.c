/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon; all of it is in daemon/ and the rooms below.
 */
#include "daemon/weftd_main.h"

int main(int argc, char **argv)
{
	return daemon_main(argc, argv);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/weftd_main.h"

int main(int argc, char **argv)
{
	return daemon_main(argc, argv);
}

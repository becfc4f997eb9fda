/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_WEFTD_MAIN_H
#define WEFT_DAEMON_WEFTD_MAIN_H

/* weftd's main(): reads the command line and runs the mode that it names. Returns the exit code, sysexits(3). */
int daemon_main(int argc, char **argv);

#endif

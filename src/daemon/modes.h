/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_MODES_H
#define WEFT_DAEMON_MODES_H

struct options;

/* --check: reports the faults of configuration and host. Returns the exit code. */
int daemon_mode_check(const struct options *options);

/*
 * --cleanup: removes all that carries our mark, and prints it. With --unless-live a running VM keeps it from removing anything, and it
 * prints the VM's sandbox. Returns the exit code: 0 if nothing is left, EX_TEMPFAIL for VMs.
 */
int daemon_mode_cleanup(const struct options *options);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_RESERVE_H
#define WEFT_DAEMON_RESERVE_H

/* Slots whose files are kept as they are although nobody can use them. */

#include <stdbool.h>

struct daemon;
struct err;

/* Before the others. 0, or -1 with ERR. */
int daemon_reserve_start(struct daemon *daemon, struct err *err);
void daemon_reserve_stop(struct daemon *daemon);

/* The file of SLOT is damaged. No sandbox gets the slot, so that the file stays. WHY is reported when slots run out. */
void daemon_reserve_slot(struct daemon *daemon, unsigned slot, const char *why);
void daemon_reserve_release(struct daemon *daemon, unsigned slot);
bool daemon_reserve_has(const struct daemon *daemon, unsigned slot);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_MARKS_H
#define WEFT_DAEMON_MARKS_H

/*
 * The layouts of slots on this host, beside the configuration's: found at the start, written to marks.json, and dropped when the
 * last slot of one has gone. Main thread.
 */

#include <stddef.h>

struct config;
struct daemon;
struct err;
struct store;

/*
 * Adds to the layouts of CONFIG those that marks.json, the state files and the kernel show. 0, or -1 with ERR; its code is 0 where a
 * range of CONFIG overlaps one of a live slot, and its text names both.
 */
int daemon_marks_find(const struct config *config, struct store *store, struct err *err);

/* Returns how many stored sandboxes have another layout than the configuration's, or -1 with ERR. TEXT describes one of these. */
int daemon_marks_count(const struct config *config, struct store *store, char *text, size_t size, struct err *err);

/* Writes marks.json, before the first object of the configuration's layout is made. */
void daemon_marks_write(struct daemon *daemon);

/* Logs which sandboxes go on with a former layout. All are in the registry. */
void daemon_marks_tell(struct daemon *daemon);

/* Drops a layout that no slot has any more, and puts marks.json back if it was deleted. To be called from time to time. */
void daemon_marks_settle(struct daemon *daemon);

#endif

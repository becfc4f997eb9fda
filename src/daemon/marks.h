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
 * Adds to the layouts of CONFIG those that marks.json, the state files and the kernel show. 0, or -1 with ERR: code 0 if a range of
 * CONFIG overlaps another one that live slots have, which ERR names.
 */
int daemon_marks_find(const struct config *config, struct store *store, struct err *err);

/* How many stored sandboxes have another layout than the configuration's. *TEXT describes one of these. 0 or more, -1 with ERR. */
int daemon_marks_count(const struct config *config, struct store *store, char *text, size_t size, struct err *err);

/* Writes marks.json, before the first object of the configuration's layout is made. */
void daemon_marks_write(struct daemon *daemon);

/* Logs which sandboxes go on with a former layout. All are in the registry. */
void daemon_marks_tell(struct daemon *daemon);

/* Drops the layouts that no slot has any more, and puts marks.json back if it was deleted. From time to time. */
void daemon_marks_settle(struct daemon *daemon);

#endif

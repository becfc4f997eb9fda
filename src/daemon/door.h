/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_DOOR_H
#define WEFT_DAEMON_DOOR_H

/*
 * The door: one unix socket, [door] socket, by which HAProxy hands over clients of all sandboxes. It outlives this run as every
 * listener does, and costs no start: where it cannot be opened, that is noted (not_open.h) and tried again. Main thread only.
 */

#include <jansson.h>
#include <stdbool.h>

struct config;
struct config_mistakes;
struct daemon;
struct err;

/* Adds what this host makes impossible: a group that it lacks, a directory that others can write to. */
void daemon_door_check(const struct config *config, struct config_mistakes *mistakes);

/* Whether the default's group is not there (yet), so that root alone may come. */
bool daemon_door_lacks_group(const struct config *config);

/* Opens it where it is wanted; all sandboxes are known. 0, or -1 with ERR for want of memory. */
int daemon_door_open(struct daemon *daemon, struct err *err);

/* Tries again what is not open. Each second. */
void daemon_door_retry(struct daemon *daemon);

/* The configuration was reloaded: its group may be another one, or be there now. */
void daemon_door_reconfigure(struct daemon *daemon);

/*
 * Puts its file back, if others have deleted or changed it. 1: that was needed; 0: it was not, or it is not open; -1 with ERR.
 */
int daemon_door_follow_file(struct daemon *daemon, struct err *err);

/* Before the forwarder goes: removes its file, unless the socket is kept for the next run. */
void daemon_door_stop(struct daemon *daemon);

/* The member `door` of the status: null without a door. NULL for want of memory. */
json_t *daemon_door_describe(const struct daemon *daemon);

#endif

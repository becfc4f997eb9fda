/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_LOCAL_USERS_H
#define WEFT_DAEMON_LOCAL_USERS_H

/*
 * The users and groups of `[ingress] local_users' by number. They are looked up in the host's user database, nsswitch.conf(5), which may
 * take its time. Main thread, before the loop.
 */

struct config;
struct config_mistakes;

/* Adds a mistake for each name that the host does not know. */
void daemon_local_users_check(const struct config *config, struct config_mistakes *mistakes);

/* Sets `ingress.local_ids' of CONFIG. Names that the host does not know add nothing. 0, or -1 for lack of memory. */
int daemon_local_users_resolve(struct config *config);

#endif

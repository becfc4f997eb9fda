/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_SUSPECTS_H
#define WEFT_FABRIC_SUSPECTS_H

/* The rules and routes that events say may have been altered, until the patrol compares them. Main thread. */

#include <stdbool.h>

struct err;
struct fabric;
struct slot;
struct suspects;

/* Without suspicions. It drops a slot by itself when that is forgotten. NULL with ERR. */
struct suspects *fabric_suspects_new(struct fabric *fabric, struct err *err);

/* NULL is fine. */
void fabric_suspects_free(struct suspects *suspects);

/* Calls DUE with CONTEXT soon after a suspicion, once for those that follow upon one another. */
void fabric_suspects_notify(struct suspects *suspects, void (*due)(void *context), void *context);

/* Rules of a slot may have been altered. */
void fabric_suspect_slot(struct slot *slot);

/* Rules of the host may have been. */
void fabric_suspect_host(struct fabric *fabric);

/* The same, and the sets of what wakes sandboxes may not be what the slots' plans say. */
void fabric_suspect_wake(struct fabric *fabric);

/* The routes of the host that all slots share may have been. HURRY: notify for that alone. */
void fabric_suspect_routes(struct fabric *fabric, bool hurry);

/* Events of slots were lost: rules, or links and routes, of any may have been altered. */
void fabric_suspect_all_rules(struct fabric *fabric);
void fabric_suspect_all_links(struct fabric *fabric);

/* Takes the oldest suspected slot out; NULL: there is none. It may be in any phase by now. */
struct slot *fabric_suspects_take_slot(struct suspects *suspects);

/* Whether the host's rules, or routes, or those of all slots are suspected. Ends the suspicion. */
bool fabric_suspects_take_host(struct suspects *suspects);
bool fabric_suspects_take_routes(struct suspects *suspects);
bool fabric_suspects_take_all_rules(struct suspects *suspects);
bool fabric_suspects_take_all_links(struct suspects *suspects);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_PATROL_H
#define WEFT_FABRIC_PATROL_H

/* Compares the rules of host and slots with those that should be, and repairs them: suspects at once, all others in turn. */

struct err;
struct fabric;
struct patrol;

/* Begins its rounds. fabric->suspects has to be there. NULL with ERR. Main thread. */
struct patrol *fabric_patrol_new(struct fabric *fabric, struct err *err);

/* NULL is fine. After the last job was finished. Main thread. */
void fabric_patrol_free(struct patrol *patrol);

#endif

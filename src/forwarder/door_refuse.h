/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_DOOR_REFUSE_H
#define WEFT_FORWARDER_DOOR_REFUSE_H

/* Clients at the door that do not get through: they get a reply and are read to their end. All functions: the worker's thread. */

#include "door/door_refusal.h"
#include "forwarder/forwarder.h"

#include <stdbool.h>

struct connection;
struct door_refused;
struct wheel_entry;
struct worker;

/*
 * Refuses the client of *FD, which is the callee's and -1 then; no poller of another has it. LIMIT: for DOOR_REFUSAL_LIMIT. Counted.
 */
void fwd_door_refuse(struct worker *worker, int *fd, enum door_kind kind, enum door_refusal refusal, unsigned limit);

/* The same, uncounted: for one who only asks whether somebody answers. */
void fwd_door_answer(struct worker *worker, int *fd, enum door_kind kind, enum door_refusal refusal, unsigned limit);

/*
 * The reply to the client of CONNECTION, which came through the door, waits for its guest and ends for REASON. False: none, the client
 * goes as others do.
 */
bool fwd_door_refusal_of(const struct connection *connection, enum fwd_close_reason reason, enum door_refusal *refusal);

/* The wheel's callback. */
void fwd_door_refused_expired(struct wheel_entry *entry);

/* Closes all that are being read: the worker ends, or the next run of weftd begins. */
void fwd_door_refused_drop(struct worker *worker);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_DOOR_VISIT_H
#define WEFT_FORWARDER_DOOR_VISIT_H

/* Clients at the door that have not said yet whom they want. All functions: the worker's thread. */

#include <stdbool.h>
#include <stdint.h>

struct arrival;
struct door_visit;
struct endpoint_share;
struct wheel_entry;
struct worker;

/*
 * FD was accepted for SHARE, of the door. True: ARRIVAL, counted, is for the share's worker. False: there is nothing more to do here. FD
 * is the callee's. With the worker's lock `accepting`.
 */
bool fwd_door_visit_begin(struct endpoint_share *share, int fd, struct arrival *arrival);

/* The wheel's callback. */
void fwd_door_visit_expired(struct wheel_entry *entry);

/* Closes all: the worker ends, or the next run of weftd begins. */
void fwd_door_visit_drop(struct worker *worker);

#endif

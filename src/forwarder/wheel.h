/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_WHEEL_H
#define WEFT_FORWARDER_WHEEL_H

#include "base/queue.h"

#include <stddef.h>
#include <stdint.h>

/*
 * Coarse timers for many objects. Setting and cancelling are a list operation each, and one real timer serves them all. An entry
 * expires up to one step late, never early. Pure: the clock is the caller's. One wheel, one thread.
 */

enum { WHEEL_SLOTS = 64 };

#define WHEEL_NEVER UINT64_MAX

struct wheel;

/* Inside the object that waits. Zeroed: not waiting. */
struct wheel_entry {
	LIST_ENTRY(wheel_entry) link;
	struct wheel *wheel; /* NULL: not waiting */
	uint64_t due_ms;
};

LIST_HEAD(wheel_list, wheel_entry);

struct wheel {
	unsigned step_ms;
	uint64_t turned;  /* steps up to and with this one are done */
	size_t count;     /* entries that wait */
	uint64_t next_ms; /* when fwd_wheel_turn() is due: no entry expires earlier; WHEEL_NEVER without entries */
	void (*expired)(struct wheel_entry *entry);
	struct wheel_list slots[WHEEL_SLOTS];
};

/* EXPIRED is called for each entry that is due; it may set, cancel or free any entry. */
void fwd_wheel_init(struct wheel *wheel, unsigned step_ms, uint64_t now_ms, void (*expired)(struct wheel_entry *entry));

/* ENTRY waits for DUE_MS, and no longer for the time that was set before, in whatever wheel. */
void fwd_wheel_set(struct wheel *wheel, struct wheel_entry *entry, uint64_t due_ms);

/* Harmless for an entry that does not wait. */
void fwd_wheel_cancel(struct wheel_entry *entry);

/* Calls EXPIRED for the entries that are due at NOW_MS, and finds the next_ms. */
void fwd_wheel_turn(struct wheel *wheel, uint64_t now_ms);

#endif

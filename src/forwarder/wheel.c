/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hashed wheel: an entry lies in the slot of its step, modulo the number of slots. A slot that comes by may hold entries of a
 * later round; they stay. For the timeouts here (tens of milliseconds on the fine wheel, minutes on the coarse one) a round is
 * long enough that few are passed over.
 */
#include "forwarder/wheel.h"

/* The step in which an entry due at DUE_MS expires: rounded up, so that none is early. */
static uint64_t fwd_wheel_step_of(const struct wheel *wheel, uint64_t due_ms)
{
	return due_ms / wheel->step_ms + (due_ms % wheel->step_ms != 0);
}

void fwd_wheel_init(struct wheel *wheel, unsigned step_ms, uint64_t now_ms, void (*expired)(struct wheel_entry *entry))
{
	*wheel = (struct wheel){
		.step_ms = step_ms, .turned = now_ms / step_ms, .next_ms = WHEEL_NEVER, .expired = expired
	};
	for (size_t i = 0; i < WHEEL_SLOTS; i++)
		LIST_INIT(&wheel->slots[i]);
}

void fwd_wheel_set(struct wheel *wheel, struct wheel_entry *entry, uint64_t due_ms)
{
	uint64_t step = fwd_wheel_step_of(wheel, due_ms);

	fwd_wheel_cancel(entry);
	if (step <= wheel->turned)
		step = wheel->turned + 1;
	entry->wheel = wheel;
	entry->due_ms = due_ms;
	LIST_INSERT_HEAD(&wheel->slots[step % WHEEL_SLOTS], entry, link);
	wheel->count++;
	if (step * wheel->step_ms < wheel->next_ms)
		wheel->next_ms = step * wheel->step_ms;
}

void fwd_wheel_cancel(struct wheel_entry *entry)
{
	if (!entry->wheel)
		return;
	LIST_REMOVE(entry, link);
	entry->wheel->count--;
	entry->wheel = NULL;
}

static void fwd_wheel_find_next(struct wheel *wheel)
{
	wheel->next_ms = WHEEL_NEVER;
	if (!wheel->count)
		return;
	for (uint64_t step = wheel->turned + 1; step <= wheel->turned + WHEEL_SLOTS; step++) {
		if (LIST_EMPTY(&wheel->slots[step % WHEEL_SLOTS]))
			continue;
		wheel->next_ms = step * wheel->step_ms;
		return;
	}
}

/* Moves the due entries of SLOT to DUE, where they can still be cancelled. */
static void fwd_wheel_gather(struct wheel_list *slot, uint64_t now_ms, struct wheel_list *due)
{
	struct wheel_entry *entry, *next;

	LIST_FOREACH_SAFE(entry, slot, link, next)
	{
		if (entry->due_ms > now_ms)
			continue;
		LIST_REMOVE(entry, link);
		LIST_INSERT_HEAD(due, entry, link);
	}
}

void fwd_wheel_turn(struct wheel *wheel, uint64_t now_ms)
{
	uint64_t last = now_ms / wheel->step_ms;
	uint64_t first = wheel->turned + 1;
	struct wheel_list due = LIST_HEAD_INITIALIZER(due);

	if (now_ms < wheel->next_ms)
		return;
	if (last >= first + WHEEL_SLOTS)
		first = last - WHEEL_SLOTS + 1;
	for (uint64_t step = first; step <= last; step++)
		fwd_wheel_gather(&wheel->slots[step % WHEEL_SLOTS], now_ms, &due);
	if (last > wheel->turned)
		wheel->turned = last;

	while (!LIST_EMPTY(&due)) {
		struct wheel_entry *entry = LIST_FIRST(&due);

		fwd_wheel_cancel(entry);
		wheel->expired(entry);
	}
	fwd_wheel_find_next(wheel);
}

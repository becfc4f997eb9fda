/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel counts what passes each slot, in objects of its namespace's table that live as long as the slot does, whoever
 * runs the daemon. They are copied into the records now and then, and before somebody looks at one sandbox.
 */
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "daemon/daemon.h"

static void take(struct daemon *daemon, const struct fabric_counts *counts)
{
	struct sandbox *sandbox = registry_at(daemon->registry, counts->slot);

	if (!sandbox)
		return;
	struct counters *known = &sandbox->counters;
	if (counts->packets_to_guest != known->packets_to_guest ||
	    counts->packets_from_guest != known->packets_from_guest)
		sandbox->last_activity_ms = clock_wall_ms();
	known->bytes_to_guest = counts->bytes_to_guest;
	known->bytes_from_guest = counts->bytes_from_guest;
	known->packets_to_guest = counts->packets_to_guest;
	known->packets_from_guest = counts->packets_from_guest;
	known->drops_total = counts->drops;
}

static void on_collected(void *context, const struct fabric_counts *counts, size_t count, const struct err *err)
{
	static struct log_limit limit = { .burst = 1, .interval_ms = 60000 };
	uint64_t suppressed;

	if (err && log_limit_allows(&limit, &suppressed))
		log_warning("counters not read", F_STR("error", err->text), F_UINT("suppressed", suppressed));
	for (size_t i = 0; i < count; i++)
		take(context, &counts[i]);
}

void collect_all(struct daemon *daemon)
{
	fabric_collect(daemon->fabric, 0, on_collected, daemon);
}

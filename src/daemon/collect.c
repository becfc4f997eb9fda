/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel counts what passes each slot, in objects of its namespace's table that live as long as the slot does, whoever
 * runs the daemon. They are copied into the records now and then, and before somebody looks at one sandbox.
 */
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "fabric/nft.h"

/* A read takes about 50 us: this is a tenth of the loop's time at most. */
enum { READ_MOMENT_MS = 10, READS_A_MOMENT = 16 };

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

/* Whether one more read fits into this moment: a list of thousands must not hold the loop up. */
static bool may_read_now(void)
{
	static uint64_t moment;
	static unsigned reads;
	uint64_t now = clock_now_ms() / READ_MOMENT_MS;

	if (now != moment) {
		moment = now;
		reads = 0;
	}
	return reads++ < READS_A_MOMENT;
}

void collect_now(struct daemon *daemon, struct sandbox *sandbox)
{
	struct fabric_counts counts = { .slot = sandbox->slot };
	struct err ignored;

	if (!sandbox->tenant || tenant_of(sandbox)->netns_fd < 0 || !may_read_now())
		return;
	/* What cannot be read stays as it was last known. */
	if (nft_slot_counts(tenant_of(sandbox)->netns_fd, &counts, &ignored) == 0)
		take(daemon, &counts);
}

void collect_all(struct daemon *daemon)
{
	fabric_collect(daemon->fabric, 0, on_collected, daemon);
}

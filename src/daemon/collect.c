/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel counts what passes each slot, in objects of its namespace's table that live as long as the slot does, whoever
 * runs the daemon. They are copied into the records now and then, and before somebody looks at one sandbox.
 */
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "daemon/daemon.h"

/* A read takes about 50 us: this is a tenth of the loop's time at most. */
enum { READ_MOMENT_MS = 10, READS_A_MOMENT = 16 };

/*
 * Brings *KNOWN to what the kernel has. Somebody may have flushed the table, and what was counted there since it was last read is
 * lost; but what was told once is never taken back: then the kernel counts on from there. Whether anything was counted.
 */
static bool advance(uint64_t *known, uint64_t *lost, uint64_t counted)
{
	uint64_t before = *known;

	if (*lost + counted < before)
		*lost = before - counted;
	*known = *lost + counted;
	return *known != before;
}

/* What was stopped since the last reading, of one table, is added to the daemon's sums. */
static void add_denied(struct daemon *daemon, uint64_t seen[static FABRIC_RULES],
		       const uint64_t counted[static FABRIC_RULES])
{
	for (size_t i = 0; i < FABRIC_RULES; i++) {
		daemon->denied[i] += counted[i] < seen[i] ? counted[i] : counted[i] - seen[i];
		seen[i] = counted[i];
	}
}

static void take(struct daemon *daemon, const struct fabric_counts *counts)
{
	struct sandbox *sandbox = registry_at(daemon->registry, counts->slot);
	struct tenant *tenant = sandbox ? tenant_of(sandbox) : NULL;

	if (!tenant)
		return;
	struct counters *known = &sandbox->counters, *lost = &tenant->lost;
	bool moved = advance(&known->packets_to_guest, &lost->packets_to_guest, counts->packets_to_guest);
	moved |= advance(&known->packets_from_guest, &lost->packets_from_guest, counts->packets_from_guest);
	if (moved)
		sandbox->last_activity_ms = clock_wall_ms();
	advance(&known->bytes_to_guest, &lost->bytes_to_guest, counts->bytes_to_guest);
	advance(&known->bytes_from_guest, &lost->bytes_from_guest, counts->bytes_from_guest);
	advance(&known->drops_total, &lost->drops_total, counts->drops + counts->host_drops);
	add_denied(daemon, tenant->denied, counts->denied);
}

static void on_collected(void *context, const struct fabric_counts *counts, size_t count, const struct err *err)
{
	static struct log_limit limit = { .burst = 1, .interval_ms = 60000 };
	uint64_t suppressed;

	if (err && log_limit_allows(&limit, &suppressed))
		log_warning("counters not read", F_STR("error", err->text), F_SOME("suppressed", suppressed));
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
	int netns_fd = sandbox->tenant ? tenant_of(sandbox)->netns_fd : -1;
	struct err ignored;

	if (netns_fd < 0 || !may_read_now())
		return;
	/* What cannot be read stays as it was last known. */
	if (fabric_read_counts(daemon->fabric, sandbox->slot, netns_fd, &counts, &ignored) == 0)
		take(daemon, &counts);
}

void collect_all(struct daemon *daemon)
{
	uint64_t denied[FABRIC_RULES];
	struct err ignored;

	if (fabric_read_host_counts(denied, &ignored) == 0)
		add_denied(daemon, daemon->host_denied, denied);
	fabric_collect(daemon->fabric, 0, on_collected, daemon);
}

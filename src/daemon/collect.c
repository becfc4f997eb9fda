/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel counts the packets of each slot in objects of its namespace's table, which live as long as the slot does, over
 * restarts of the daemon. They are copied into the records now and then, and before a sandbox is shown.
 */
#include "daemon/collect.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/metrics.h"
#include "daemon/tenant.h"
#include "forwarder/forwarder.h"

#include <string.h>

/* A read takes about 50 us: this is a tenth of the loop's time at most. */
enum { READ_MOMENT_MS = 10, READS_A_MOMENT = 16 };

/*
 * Brings *KNOWN up to the kernel's COUNTED. Where a table was flushed, its count since the last reading is lost; but a number
 * that was shown once is never taken back, and the kernel counts on from there.
 */
static void daemon_collect_advance(uint64_t *known, uint64_t *lost, uint64_t counted)
{
	if (*lost + counted < *known)
		*lost = *known - counted;
	*known = *lost + counted;
}

/*
 * Adds to the metrics of this run. The kernel counts over restarts of weftd, so the first reading of a sandbox that a former run
 * registered is where the sums begin.
 */
static void daemon_collect_sum(struct daemon *daemon, struct tenant *tenant, const struct counters *before,
			       const struct fabric_counts *counts)
{
	const struct counters *now = &tenant->sandbox->counters;

	if (!tenant->collected && tenant->stored) {
		memcpy(tenant->denied, counts->denied, sizeof(tenant->denied));
	} else {
		daemon_metrics_add_bytes(daemon, now->bytes_to_guest - before->bytes_to_guest,
					 now->bytes_from_guest - before->bytes_from_guest);
		daemon_metrics_add_denied(daemon, tenant->denied, counts->denied);
	}
	tenant->collected = true;
}

static void daemon_collect_take(struct daemon *daemon, const struct fabric_counts *counts)
{
	struct sandbox *sandbox = registry_at(daemon->registry, counts->slot);
	struct tenant *tenant = sandbox ? daemon_tenant_of(sandbox) : NULL;

	if (!tenant)
		return;
	struct fwd_route_stats forwarded = { 0 };
	struct counters *known = &sandbox->counters, *lost = &tenant->lost;
	const struct counters before = *known;
	daemon_collect_advance(&known->packets_to_guest, &lost->packets_to_guest, counts->packets_to_guest);
	daemon_collect_advance(&known->packets_from_guest, &lost->packets_from_guest, counts->packets_from_guest);
	daemon_collect_advance(&known->bytes_to_guest, &lost->bytes_to_guest, counts->bytes_to_guest);
	daemon_collect_advance(&known->bytes_from_guest, &lost->bytes_from_guest, counts->bytes_from_guest);
	if (tenant->route)
		fwd_route_stats(tenant->route, &forwarded);
	daemon_collect_advance(&known->drops_total, &lost->drops_total,
			       counts->drops + counts->host_drops + forwarded.udp_lost);
	daemon_collect_sum(daemon, tenant, &before, counts);
}

static void daemon_collect_done(void *context, const struct fabric_counts *counts, size_t count, const struct err *err)
{
	static const struct log_limit limit = { .burst = 1, .interval_ms = 60000 };

	if (err)
		log_limited(&limit, LOG_WARNING_LEVEL, "counters not read", F_STR("error", err->text));
	for (size_t i = 0; i < count; i++)
		daemon_collect_take(context, &counts[i]);
}

/* Whether one more read fits into this moment: a list of thousands must not hold the loop up. */
static bool daemon_collect_may_read(void)
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

void daemon_collect_now(struct daemon *daemon, struct sandbox *sandbox)
{
	struct fabric_counts counts = { .slot = sandbox->slot };
	int netns_fd = sandbox->tenant ? daemon_tenant_of(sandbox)->netns_fd : -1;
	struct err ignored;

	if (netns_fd < 0 || !daemon_collect_may_read())
		return;
	/* Counters that cannot be read stay as they were. */
	if (fabric_read_counts(daemon->fabric, sandbox->slot, netns_fd, &counts, &ignored) == 0)
		daemon_collect_take(daemon, &counts);
}

void daemon_collect_all(struct daemon *daemon)
{
	uint64_t denied[FABRIC_RULES];
	struct err ignored;

	if (fabric_read_host_counts(denied, &ignored) == 0)
		daemon_metrics_add_host_denied(daemon, denied);
	fabric_collect(daemon->fabric, 0, daemon_collect_done, daemon);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What passes the forwarder never passes the veth, and the other way round, so the bytes of both are added: those of the veth as the
 * kernel counts them, headers included, those of the forwarder as its workers do. Neither is counted for this. A reading that is
 * late, or finds no descriptor or memory, is made up for by the next one.
 */
#include "daemon/rate_samples.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/memory_text.h"
#include "control/control.h"
#include "daemon/daemon.h"
#include "daemon/rate_ring.h"
#include "daemon/tenant.h"
#include "fabric/fabric.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct rate_samples {
	struct daemon *daemon;
	struct timer timer;
	uint64_t sampled_ms; /* of the last sample; 0: none */
	uint64_t tick;       /* the number of its point: seconds of the clock, so that a later run's are larger */
	int64_t at_ms;       /* wall clock */
};

/* How many points have passed since the last sample, at least one. */
static unsigned daemon_rates_steps(struct rate_samples *rates)
{
	uint64_t now = clock_now_ms(), since = rates->sampled_ms ? now - rates->sampled_ms : RATES_INTERVAL_MS;
	uint64_t steps = (since + RATES_INTERVAL_MS / 2) / RATES_INTERVAL_MS;

	rates->sampled_ms = now;
	if (!steps)
		return 1;
	return steps < UINT32_MAX ? (unsigned)steps : UINT32_MAX;
}

static void daemon_rates_add(struct sandbox *sandbox, const struct rate_bytes *kernel, uint64_t tick, unsigned steps)
{
	struct tenant *tenant = daemon_tenant_of(sandbox);
	struct fwd_route_stats stats;

	if (!tenant || !tenant->route)
		return;
	fwd_route_stats(tenant->route, &stats);
	tenant->rates_tick = tick;
	daemon_rate_ring_add(&tenant->rates, kernel,
			     &(struct rate_bytes){ stats.bytes_to_guest, stats.bytes_from_guest }, tick, steps);
}

static void daemon_rates_take(void *context, const struct fabric_traffic *traffic, size_t count, const struct err *err)
{
	struct rate_samples *rates = context;
	struct registry *registry = rates->daemon->registry;

	if (err)
		return;
	unsigned steps = daemon_rates_steps(rates);
	rates->tick += steps;
	rates->at_ms = clock_wall_ms();
	for (size_t i = 0; i < count; i++) {
		struct sandbox *sandbox = registry_at(registry, traffic[i].slot);
		struct rate_bytes kernel = { traffic[i].to_guest, traffic[i].from_guest };

		if (sandbox)
			daemon_rates_add(sandbox, &kernel, rates->tick, steps);
	}
	/* One whose veth was not listed, such as for another prefix of its name. */
	for (struct sandbox *sandbox = registry_next(registry, 0); sandbox;
	     sandbox = registry_next(registry, sandbox->slot))
		if (sandbox->tenant && daemon_tenant_of(sandbox)->rates_tick != rates->tick)
			daemon_rates_add(sandbox, NULL, rates->tick, steps);
}

static void daemon_rates_sample(void *context)
{
	struct rate_samples *rates = context;

	if (rates->daemon->fabric && rates->daemon->state != DAEMON_LOADING)
		fabric_read_traffic(rates->daemon->fabric, daemon_rates_take, rates);
	timer_start(&rates->timer, RATES_INTERVAL_MS);
}

static void daemon_rates_write_points(FILE *out, const char *name, const float *ring, uint64_t tick, unsigned points)
{
	fprintf(out, ",\"%s\":[", name);
	for (unsigned i = points; i > 0; i--)
		fprintf(out, "%s%.0f", i < points ? "," : "", (double)ring[(tick - i + 1) % RATES_POINTS]);
	fputc(']', out);
}

/* Returns whether there was anything to write. Ids need no escaping: see registry_sandbox_id_is_valid(). */
static bool daemon_rates_write(FILE *out, const struct rate_samples *rates, struct sandbox *sandbox, unsigned limit,
			       bool first)
{
	const struct tenant *tenant = daemon_tenant_of(sandbox);

	if (!tenant)
		return false;
	daemon_tenant_refresh(sandbox);
	unsigned points = daemon_rate_ring_points(&tenant->rates, rates->tick, limit);
	const struct counters *counters = &sandbox->counters;
	if (!points && !counters->connections_open && !counters->connections_held)
		return false;
	fprintf(out, "%s{\"id\":\"%s\",\"slot\":%u,\"connections_open\":%" PRIu64 ",\"connections_held\":%" PRIu64,
		first ? "" : ",", sandbox->id, sandbox->slot, counters->connections_open, counters->connections_held);
	daemon_rates_write_points(out, "to_guest", tenant->rates.to_guest, rates->tick, points);
	daemon_rates_write_points(out, "from_guest", tenant->rates.from_guest, rates->tick, points);
	fputc('}', out);
	return true;
}

/* To be freed. NULL for want of memory. */
static char *daemon_rates_show(struct daemon *daemon, const struct control_target *target, size_t *length)
{
	const struct rate_samples *rates = daemon->rates;
	uint64_t since = target->has_since && target->since < rates->tick ? target->since : 0;
	unsigned limit = rates->tick - since < RATES_POINTS ? (unsigned)(rates->tick - since) : RATES_POINTS;
	const struct sandbox *only = registry_lookup(daemon->registry, target->sandbox);
	char at[CLOCK_TEXT_SIZE];
	struct base_text text;
	FILE *out = base_text_open(&text);
	bool first = true;

	if (!out)
		return NULL;
	if (target->has_since && target->since == rates->tick)
		limit = 0;
	fprintf(out, "{\"interval_ms\":%d,\"points\":%d,\"tick\":%" PRIu64 ",\"at\":\"%s\",\"sandboxes\":[",
		RATES_INTERVAL_MS, RATES_POINTS, rates->tick, clock_format(rates->at_ms, at));
	for (struct sandbox *sandbox = registry_next(daemon->registry, 0); sandbox;
	     sandbox = registry_next(daemon->registry, sandbox->slot))
		if (!*target->sandbox || sandbox == only)
			first &= !daemon_rates_write(out, rates, sandbox, limit, first);
	fputs("]}", out);
	return base_text_close(&text, out, length);
}

void daemon_rates(void *context, struct control_request *request)
{
	size_t length;
	char *text = daemon_rates_show(context, &request->target, &length);

	if (text)
		control_reply_text(control_request_release(request), "application/json", text, length);
	else
		control_request_refuse_unavailable(request, "out of memory");
	free(text);
}

int daemon_rates_start(struct daemon *daemon, struct err *err)
{
	struct rate_samples *rates = calloc(1, sizeof(*rates));

	if (!rates)
		return err_set(err, ENOMEM, "rates");
	rates->daemon = daemon;
	rates->at_ms = clock_wall_ms();
	rates->tick = (uint64_t)rates->at_ms / RATES_INTERVAL_MS;
	if (timer_init(&rates->timer, daemon->base, daemon_rates_sample, rates, err) < 0) {
		free(rates);
		return -1;
	}
	daemon->rates = rates;
	timer_start(&rates->timer, RATES_INTERVAL_MS);
	return 0;
}

void daemon_rates_stop(struct daemon *daemon)
{
	if (!daemon->rates)
		return;
	timer_free(&daemon->rates->timer);
	free(daemon->rates);
	daemon->rates = NULL;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Everything here is known already: a scrape asks no worker, and the kernel for its own files of /proc alone (metrics_system.c). These
 * series are about the host; those of each sandbox, where the configuration asks for them, are in metrics_sandboxes.c.
 */
#include "daemon/metrics.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/memory_text.h"
#include "config/config.h"
#include "control/control.h"
#include "daemon/daemon.h"
#include "daemon/handed_over.h"
#include "daemon/metrics_write.h"
#include "daemon/not_open.h"
#include "daemon/publish.h"
#include "daemon/tenant.h"
#include "forwarder/forwarder.h"
#include "registry/registry.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct metrics {
	uint64_t register_count[CONNECT_BUCKETS]; /* durations of registrations, by fwd_connect_bucket_ms[] */
	uint64_t register_sum_us;
	uint64_t denied[FABRIC_RULES];             /* packets stopped, by rule, since it runs */
	uint64_t host_denied[FABRIC_RULES];        /* last read of the host's table */
	uint64_t repairs, repair_failures;         /* since it runs */
	uint64_t bytes_to_guest, bytes_from_guest; /* at the TAPs, since it runs */
	double process_started;                    /* seconds since the epoch */
	bool reload_failed;                        /* the last one did */
	int64_t config_loaded_ms;                  /* clock_wall_ms() of the last success, which may be the start */
};

int daemon_metrics_start(struct daemon *daemon, struct err *err)
{
	struct err ignored;

	daemon->metrics = calloc(1, sizeof(*daemon->metrics));
	if (!daemon->metrics)
		return err_set(err, ENOMEM, "start");
	daemon->metrics->process_started = daemon_metrics_process_started();
	daemon->metrics->config_loaded_ms = clock_wall_ms();
	/* The table may be a former run's. Where there is none, nothing was stopped yet. */
	(void)fabric_read_host_counts(daemon->metrics->host_denied, &ignored);
	return 0;
}

void daemon_metrics_stop(struct daemon *daemon)
{
	free(daemon->metrics);
	daemon->metrics = NULL;
}

void daemon_metrics_count_registration(struct daemon *daemon, uint64_t duration_us)
{
	size_t bucket = 0;

	while (bucket < CONNECT_BUCKETS - 1 && duration_us > (uint64_t)fwd_connect_bucket_ms[bucket] * 1000)
		bucket++;
	daemon->metrics->register_count[bucket]++;
	daemon->metrics->register_sum_us += duration_us;
}

void daemon_metrics_count_repair(struct daemon *daemon)
{
	daemon->metrics->repairs++;
}

void daemon_metrics_count_repair_failure(struct daemon *daemon)
{
	daemon->metrics->repair_failures++;
}

void daemon_metrics_note_reload(struct daemon *daemon, bool taken_over)
{
	daemon->metrics->reload_failed = !taken_over;
	if (taken_over)
		daemon->metrics->config_loaded_ms = clock_wall_ms();
}

void daemon_metrics_add_bytes(struct daemon *daemon, uint64_t to_guest, uint64_t from_guest)
{
	daemon->metrics->bytes_to_guest += to_guest;
	daemon->metrics->bytes_from_guest += from_guest;
}

void daemon_metrics_add_denied(struct daemon *daemon, uint64_t seen[static FABRIC_RULES],
			       const uint64_t counted[static FABRIC_RULES])
{
	for (size_t i = 0; i < FABRIC_RULES; i++) {
		/* A smaller number: the table was made anew meanwhile. */
		daemon->metrics->denied[i] += counted[i] < seen[i] ? counted[i] : counted[i] - seen[i];
		seen[i] = counted[i];
	}
}

void daemon_metrics_add_host_denied(struct daemon *daemon, const uint64_t counted[static FABRIC_RULES])
{
	daemon_metrics_add_denied(daemon, daemon->metrics->host_denied, counted);
}

static void daemon_metrics_show_sandboxes(FILE *out, const struct daemon *daemon)
{
	daemon_metrics_write_head(out, "weft_sandboxes", "gauge", "Registered sandboxes by state.");
	for (unsigned i = 0; i < SANDBOX_STATES; i++)
		fprintf(out, "weft_sandboxes{state=\"%s\"} %zu\n", registry_sandbox_state_name((enum sandbox_state)i),
			registry_count_state(daemon->registry, (enum sandbox_state)i));
}

static void daemon_metrics_show_connections(FILE *out, const struct fwd_stats *stats)
{
	daemon_metrics_show(out, "weft_connections_open", "gauge", "Connections of the forwarder, held ones included.",
			    stats->connections_open);
	daemon_metrics_show(out, "weft_connections_held", "gauge", "Those that wait for their guest, or for a sandbox.",
			    stats->connections_held);
	daemon_metrics_write_head(out, "weft_connections_total", "counter",
				  "Ended connections of the forwarder by reason.");
	for (unsigned i = 0; i < CLOSE_REASONS; i++)
		fprintf(out, "weft_connections_total{reason=\"%s\"} %" PRIu64 "\n",
			fwd_close_reason_name((enum fwd_close_reason)i), stats->ended[i]);
	daemon_metrics_show(out, "weft_accept_pauses_total", "counter",
			    "Times that accepting paused for lack of descriptors.", stats->accept_pauses);
	daemon_metrics_show(out, "weft_udp_lost_total", "counter",
			    "Datagrams of UDP endpoints that the forwarder did not pass on.", stats->udp_lost);
	daemon_metrics_show(out, "weft_client_descriptors_limit", "gauge",
			    "Descriptors that are for connections of clients: the limit without a reserve.",
			    stats->usable);
	daemon_metrics_show(out, "weft_client_descriptors_free", "gauge",
			    "How many of these are free. Below a quarter, sandboxes that have their share get no more.",
			    stats->usable_free);
}

static void daemon_metrics_show_handover(FILE *out, const struct daemon *daemon)
{
	static const struct handover_outcome none;
	const struct handover_outcome *outcome = daemon_handed_over_outcome(daemon);

	if (!outcome)
		outcome = &none;
	daemon_metrics_write_head(out, "weft_handover_connections_total", "counter",
				  "Connections of the former run that went on in this one, or were lost.");
	fprintf(out, "weft_handover_connections_total{result=\"taken\"} %" PRIu64 "\n", outcome->connections);
	fprintf(out, "weft_handover_connections_total{result=\"lost\"} %" PRIu64 "\n", outcome->lost);
	daemon_metrics_write_head(out, "weft_handover_seconds", "gauge",
				  "For how long they stood still; 0: there were none.");
	fprintf(out, "weft_handover_seconds %.3f\n", (double)outcome->gap_ms / 1000);
}

static void daemon_metrics_show_bytes(FILE *out, const struct daemon *daemon, const struct fwd_stats *stats)
{
	daemon_metrics_write_head(out, "weft_bytes_total", "counter", "Payload bytes carried by the forwarder.");
	fprintf(out, "weft_bytes_total{direction=\"to_guest\"} %" PRIu64 "\n", stats->bytes_to_guest);
	fprintf(out, "weft_bytes_total{direction=\"from_guest\"} %" PRIu64 "\n", stats->bytes_from_guest);
	daemon_metrics_write_head(
	    out, "weft_tap_bytes_total", "counter",
	    "Bytes that passed the TAPs, on the kernel path and by the forwarder; read each 10 s.");
	fprintf(out, "weft_tap_bytes_total{direction=\"to_guest\"} %" PRIu64 "\n", daemon->metrics->bytes_to_guest);
	fprintf(out, "weft_tap_bytes_total{direction=\"from_guest\"} %" PRIu64 "\n", daemon->metrics->bytes_from_guest);
}

static void daemon_metrics_show_durations(FILE *out, const struct daemon *daemon, const struct fwd_stats *stats)
{
	daemon_metrics_write_head(out, "weft_connect_seconds", "histogram",
				  "From a client's connection to the guest's answer.");
	daemon_metrics_write_histogram(out, "weft_connect_seconds", stats->connect_count, stats->connect_sum_us);
	daemon_metrics_write_head(out, "weft_register_seconds", "histogram",
				  "From a registration's request to its answer.");
	daemon_metrics_write_histogram(out, "weft_register_seconds", daemon->metrics->register_count,
				       daemon->metrics->register_sum_us);
}

static void daemon_metrics_show_pool(FILE *out, const struct daemon *daemon)
{
	struct fabric_pool pool;

	fabric_pool_state(daemon->fabric, &pool);
	daemon_metrics_write_head(out, "weft_pool_slots", "gauge", "Slots of the pool by state.");
	fprintf(out, "weft_pool_slots{state=\"ready\"} %u\n", pool.ready);
	fprintf(out, "weft_pool_slots{state=\"quarantined\"} %u\n", pool.quarantined);
	fprintf(out, "weft_pool_slots{state=\"deleting\"} %u\n", pool.deleting);
	daemon_metrics_show(out, "weft_pool_size", "gauge", "Slots that the pool is to keep ready; 0: there is none.",
			    pool.target);
	daemon_metrics_show(out, "weft_pool_cold_total", "counter", "Registrations that found no ready slot.",
			    pool.cold_total);
	daemon_metrics_show(out, "weft_pool_deferred_total", "counter", "Deletions put off while registrations waited.",
			    pool.deferred_total);
}

static void daemon_metrics_show_denied(FILE *out, const struct daemon *daemon)
{
	daemon_metrics_write_head(out, "weft_denied_total", "counter",
				  "Packets of sandboxes, and to them, that were stopped, by rule.");
	for (unsigned i = 0; i < FABRIC_RULES; i++)
		if (i != FABRIC_RULE_SOLICITATION)
			fprintf(out, "weft_denied_total{rule=\"%s\"} %" PRIu64 "\n", rules_name((enum fabric_rule)i),
				daemon->metrics->denied[i]);
	daemon_metrics_show(out, "weft_router_solicitations_total", "counter",
			    "Guests' questions for a router of IPv6, which are dropped: there is none.",
			    daemon->metrics->denied[FABRIC_RULE_SOLICITATION]);
}

static void daemon_metrics_show_not_open(FILE *out, const struct daemon *daemon)
{
	daemon_metrics_write_head(out, "weft_addresses_not_open", "gauge",
				  "Addresses that should listen and do not, weftd's own or sandboxes'; up to 256.");
	fprintf(out, "weft_addresses_not_open{of=\"weftd\"} %zu\n", daemon_not_open_count(daemon, false));
	fprintf(out, "weft_addresses_not_open{of=\"sandboxes\"} %zu\n", daemon_not_open_count(daemon, true));
}

/* Sandboxes of a former run that could not be taken over yet count as the fabric's troubles do. */
static uint64_t daemon_metrics_pending_repairs(const struct daemon *daemon)
{
	uint64_t pending = fabric_troubles(daemon->fabric);

	for (const struct sandbox *sandbox = registry_next(daemon->registry, 0); sandbox;
	     sandbox = registry_next(daemon->registry, sandbox->slot))
		pending += sandbox->tenant && daemon_tenant_of(sandbox)->takeover.reported;
	return pending;
}

static void daemon_metrics_show_repairs(FILE *out, const struct daemon *daemon)
{
	daemon_metrics_show(
	    out, "weft_repairs_total", "counter",
	    "Times that weft put back what others had changed; attempts that did not come off are not counted.",
	    daemon->metrics->repairs);
	daemon_metrics_show(out, "weft_repair_failures_total", "counter",
			    "Times that something could not be looked at or put back (event repair, ok is false).",
			    daemon->metrics->repair_failures);
	daemon_metrics_show(out, "weft_repairs_pending", "gauge", "How many of these are still tried again.",
			    daemon_metrics_pending_repairs(daemon));
}

static void daemon_metrics_show_daemon(FILE *out, const struct daemon *daemon)
{
	const struct metrics *metrics = daemon->metrics;

	daemon_metrics_write_head(out, "weft_build_info", "gauge", "The version that runs.");
	fprintf(out, "weft_build_info{version=\"%s\"} 1\n", PACKAGE_VERSION);
	daemon_metrics_show(out, "weft_config_last_reload_successful", "gauge",
			    "Whether the last reload of the configuration succeeded; 1 without a reload.",
			    !metrics->reload_failed);
	daemon_metrics_write_head(out, "weft_config_last_reload_success_timestamp_seconds", "gauge",
				  "When the configuration was last taken over, at a start or a reload.");
	fprintf(out, "weft_config_last_reload_success_timestamp_seconds %.3f\n",
		(double)metrics->config_loaded_ms / 1000);
	daemon_metrics_show(out, "weft_log_lines_lost_total", "counter",
			    "Lines of the log that its reader never got: it stood still, or refused them.", log_lost());
	daemon_metrics_show(out, "weft_events_dropped_total", "counter",
			    "Events that readers of /v1/events did not get: they were too slow, or memory was lacking.",
			    control_events_lost(daemon->control));
}

static void daemon_metrics_show_catalog(FILE *out, const struct daemon *daemon)
{
	struct catalog_stats stats;

	if (!daemon->catalog)
		return;
	catalog_stats(daemon->catalog, &stats);
	daemon_metrics_show(out, "weft_catalog_up", "gauge", "Whether the catalogue's Redis is connected and answers.",
			    stats.up);
	daemon_metrics_write_head(
	    out, "weft_catalog_entries", "gauge",
	    "Entries of sandboxes in the catalogue: ours, those that another writer has, and those that "
	    "Redis has to take or to remove.");
	fprintf(out, "weft_catalog_entries{state=\"published\"} %zu\n", stats.published);
	fprintf(out, "weft_catalog_entries{state=\"foreign\"} %zu\n", stats.foreign);
	fprintf(out, "weft_catalog_entries{state=\"pending\"} %zu\n", stats.pending);
	daemon_metrics_show(out, "weft_catalog_failures_total", "counter", "Commands that Redis answered by an error.",
			    stats.failures);
	daemon_metrics_show(out, "weft_catalog_losses_total", "counter",
			    "Connections to Redis that were lost, or did not come about.", stats.losses);
}

static void daemon_metrics_show_all(FILE *out, struct daemon *daemon)
{
	struct fwd_stats stats;

	fwd_stats(daemon->forwarder, &stats);
	daemon_metrics_show_daemon(out, daemon);
	daemon_metrics_write_process(out, &stats, daemon->metrics->process_started);
	daemon_metrics_write_conntrack(out);
	daemon_metrics_show_sandboxes(out, daemon);
	daemon_metrics_show_connections(out, &stats);
	daemon_metrics_write_door(out, daemon);
	daemon_metrics_show_handover(out, daemon);
	daemon_metrics_show_bytes(out, daemon, &stats);
	daemon_metrics_show_durations(out, daemon, &stats);
	daemon_metrics_show_not_open(out, daemon);
	daemon_metrics_show_pool(out, daemon);
	if (daemon->config->http.sandbox_metrics)
		daemon_metrics_write_sandboxes(out, daemon);
	daemon_metrics_show_denied(out, daemon);
	daemon_metrics_show_repairs(out, daemon);
	daemon_metrics_show_catalog(out, daemon);
	daemon_metrics_write_wake(out, daemon);
}

/* As text, to be freed. NULL for want of memory. */
static char *daemon_metrics_text(struct daemon *daemon, size_t *length)
{
	struct base_text text;
	FILE *out = base_text_open(&text);

	if (!out)
		return NULL;
	daemon_metrics_show_all(out, daemon);
	return base_text_close(&text, out, length);
}

void daemon_metrics(void *context, struct control_request *request)
{
	size_t length;
	char *text = daemon_metrics_text(context, &length);

	if (text)
		control_reply_text(control_request_release(request), "text/plain; version=0.0.4; charset=utf-8", text,
				   length);
	else
		control_request_refuse_unavailable(request, "out of memory");
	free(text);
}

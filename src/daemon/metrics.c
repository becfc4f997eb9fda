/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Prometheus' text format, version 0.0.4. Everything here is known already: a scrape asks neither the kernel nor a worker. Series
 * are about the host; what concerns one sandbox is in the API.
 */
#include "daemon/metrics.h"

#include "config/config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void metrics_head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_histogram(FILE *out, const char *name, const uint64_t *counts, uint64_t sum_us)
{
	uint64_t total = 0;

	for (size_t i = 0; i < CONNECT_BUCKETS - 1; i++) {
		total += counts[i];
		fprintf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, (double)connect_bucket_ms[i] / 1000, total);
	}
	total += counts[CONNECT_BUCKETS - 1];
	fprintf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, total);
	fprintf(out, "%s_sum %g\n%s_count %" PRIu64 "\n", name, (double)sum_us / 1e6, name, total);
}

static void write_sandboxes(FILE *out, const struct daemon *daemon)
{
	metrics_head(out, "weft_sandboxes", "gauge", "Registered sandboxes by state.");
	for (unsigned i = 0; i < SANDBOX_STATES; i++)
		fprintf(out, "weft_sandboxes{state=\"%s\"} %zu\n", sandbox_state_name((enum sandbox_state)i),
			registry_count_state(daemon->registry, (enum sandbox_state)i));
}

static void write_forwarder(FILE *out, const struct daemon *daemon)
{
	struct forwarder_stats stats;

	forwarder_stats(daemon->forwarder, &stats);
	metrics_head(out, "weft_connections_open", "gauge", "Connections of the forwarder, held ones included.");
	fprintf(out, "weft_connections_open %" PRIu64 "\n", stats.connections_open);
	metrics_head(out, "weft_connections_total", "counter", "Ended connections of the forwarder by reason.");
	for (unsigned i = 0; i < CLOSE_REASONS; i++)
		fprintf(out, "weft_connections_total{reason=\"%s\"} %" PRIu64 "\n",
			close_reason_name((enum close_reason)i), stats.ended[i]);
	metrics_head(out, "weft_bytes_total", "counter", "Payload bytes carried by the forwarder.");
	fprintf(out, "weft_bytes_total{direction=\"to_guest\"} %" PRIu64 "\n", stats.bytes_to_guest);
	fprintf(out, "weft_bytes_total{direction=\"from_guest\"} %" PRIu64 "\n", stats.bytes_from_guest);
	metrics_head(out, "weft_accept_pauses_total", "counter",
		     "Times that accepting paused for lack of descriptors.");
	fprintf(out, "weft_accept_pauses_total %" PRIu64 "\n", stats.accept_pauses);
	metrics_head(out, "weft_connect_seconds", "histogram", "From a client's connection to the guest's answer.");
	write_histogram(out, "weft_connect_seconds", stats.connect_count, stats.connect_sum_us);
	metrics_head(out, "weft_register_seconds", "histogram", "From a registration's request to its answer.");
	write_histogram(out, "weft_register_seconds", daemon->register_count, daemon->register_sum_us);
}

static void write_pool(FILE *out, const struct daemon *daemon)
{
	struct fabric_pool pool;

	fabric_pool_state(daemon->fabric, &pool);
	metrics_head(out, "weft_pool_slots", "gauge", "Slots of the pool by state.");
	fprintf(out, "weft_pool_slots{state=\"ready\"} %u\n", pool.ready);
	fprintf(out, "weft_pool_slots{state=\"quarantined\"} %u\n", pool.quarantined);
	fprintf(out, "weft_pool_slots{state=\"deleting\"} %u\n", pool.deleting);
	metrics_head(out, "weft_pool_size", "gauge", "Slots that the pool is to keep ready; 0: there is none.");
	fprintf(out, "weft_pool_size %u\n", pool.target);
	metrics_head(out, "weft_pool_cold_total", "counter", "Registrations that found no ready slot.");
	fprintf(out, "weft_pool_cold_total %" PRIu64 "\n", pool.cold_total);
	metrics_head(out, "weft_pool_deferred_total", "counter", "Deletions put off while registrations waited.");
	fprintf(out, "weft_pool_deferred_total %" PRIu64 "\n", pool.deferred_total);
}

static void write_denied(FILE *out, const struct daemon *daemon)
{
	metrics_head(out, "weft_denied_total", "counter",
		     "Packets of sandboxes, and to them, that were stopped, by rule.");
	for (unsigned i = 0; i < FABRIC_RULES; i++)
		fprintf(out, "weft_denied_total{rule=\"%s\"} %" PRIu64 "\n", fabric_rule_name((enum fabric_rule)i),
			daemon->denied[i]);
}

void daemon_metrics(void *context, struct reply *reply)
{
	struct daemon *daemon = context;
	char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);

	if (out) {
		metrics_head(out, "weft_build_info", "gauge", "The version that runs.");
		fprintf(out, "weft_build_info{version=\"%s\"} 1\n", PACKAGE_VERSION);
		write_sandboxes(out, daemon);
		write_forwarder(out, daemon);
		write_pool(out, daemon);
		if (daemon->config->http.sandbox_metrics)
			metrics_write_sandboxes(out, daemon);
		write_denied(out, daemon);
		metrics_head(out, "weft_repairs_total", "counter", "Times that weft put back what others had changed.");
		fprintf(out, "weft_repairs_total %" PRIu64 "\n", daemon->repairs);
		fclose(out);
	}
	reply_text(reply, "text/plain; version=0.0.4; charset=utf-8", text ? text : "", length);
	free(text);
}

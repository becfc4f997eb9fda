/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Everything here is known already: a scrape asks neither the kernel nor a worker. These series are about the host; those of each
 * sandbox, where the configuration asks for them, are in metrics_sandboxes.c.
 */
#include "daemon/metrics.h"

#include "base/err.h"
#include "base/log.h"
#include "config/config.h"
#include "control/control.h"
#include "daemon/daemon.h"
#include "daemon/metrics_write.h"
#include "forwarder/forwarder.h"
#include "registry/registry.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct metrics {
	uint64_t register_count[CONNECT_BUCKETS]; /* durations of registrations, by fwd_connect_bucket_ms[] */
	uint64_t register_sum_us;
	uint64_t denied[FABRIC_RULES];      /* packets stopped, by rule, since it runs */
	uint64_t host_denied[FABRIC_RULES]; /* last read of the host's table */
	uint64_t repairs;                   /* since it runs */
};

int daemon_metrics_start(struct daemon *daemon, struct err *err)
{
	daemon->metrics = calloc(1, sizeof(*daemon->metrics));
	return daemon->metrics ? 0 : err_set(err, ENOMEM, "start");
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

static void daemon_metrics_show_forwarder(FILE *out, const struct daemon *daemon)
{
	struct fwd_stats stats;

	fwd_stats(daemon->forwarder, &stats);
	daemon_metrics_write_head(out, "weft_connections_open", "gauge",
				  "Connections of the forwarder, held ones included.");
	fprintf(out, "weft_connections_open %" PRIu64 "\n", stats.connections_open);
	daemon_metrics_write_head(out, "weft_connections_total", "counter",
				  "Ended connections of the forwarder by reason.");
	for (unsigned i = 0; i < CLOSE_REASONS; i++)
		fprintf(out, "weft_connections_total{reason=\"%s\"} %" PRIu64 "\n",
			fwd_close_reason_name((enum fwd_close_reason)i), stats.ended[i]);
	daemon_metrics_write_head(out, "weft_bytes_total", "counter", "Payload bytes carried by the forwarder.");
	fprintf(out, "weft_bytes_total{direction=\"to_guest\"} %" PRIu64 "\n", stats.bytes_to_guest);
	fprintf(out, "weft_bytes_total{direction=\"from_guest\"} %" PRIu64 "\n", stats.bytes_from_guest);
	daemon_metrics_write_head(out, "weft_accept_pauses_total", "counter",
				  "Times that accepting paused for lack of descriptors.");
	fprintf(out, "weft_accept_pauses_total %" PRIu64 "\n", stats.accept_pauses);
	daemon_metrics_write_head(out, "weft_udp_lost_total", "counter",
				  "Datagrams of UDP endpoints that the forwarder did not pass on.");
	fprintf(out, "weft_udp_lost_total %" PRIu64 "\n", stats.udp_lost);
	daemon_metrics_write_head(out, "process_open_fds", "gauge", "Descriptors in use, as weftd counts them.");
	fprintf(out, "process_open_fds %" PRIu64 "\n", stats.descriptors);
	daemon_metrics_write_head(out, "process_max_fds", "gauge", "The limit of descriptors, RLIMIT_NOFILE.");
	fprintf(out, "process_max_fds %" PRIu64 "\n", stats.descriptor_limit);
	daemon_metrics_write_head(out, "weft_connect_seconds", "histogram",
				  "From a client's connection to the guest's answer.");
	daemon_metrics_write_histogram(out, "weft_connect_seconds", stats.connect_count, stats.connect_sum_us);
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
	daemon_metrics_write_head(out, "weft_pool_size", "gauge",
				  "Slots that the pool is to keep ready; 0: there is none.");
	fprintf(out, "weft_pool_size %u\n", pool.target);
	daemon_metrics_write_head(out, "weft_pool_cold_total", "counter", "Registrations that found no ready slot.");
	fprintf(out, "weft_pool_cold_total %" PRIu64 "\n", pool.cold_total);
	daemon_metrics_write_head(out, "weft_pool_deferred_total", "counter",
				  "Deletions put off while registrations waited.");
	fprintf(out, "weft_pool_deferred_total %" PRIu64 "\n", pool.deferred_total);
}

static void daemon_metrics_show_denied(FILE *out, const struct daemon *daemon)
{
	daemon_metrics_write_head(out, "weft_denied_total", "counter",
				  "Packets of sandboxes, and to them, that were stopped, by rule.");
	for (unsigned i = 0; i < FABRIC_RULES; i++)
		fprintf(out, "weft_denied_total{rule=\"%s\"} %" PRIu64 "\n", rules_name((enum fabric_rule)i),
			daemon->metrics->denied[i]);
}

/* As text, to be freed. NULL for want of memory. */
static char *daemon_metrics_show(struct daemon *daemon, size_t *length)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, length);

	if (!out)
		return NULL;
	daemon_metrics_write_head(out, "weft_build_info", "gauge", "The version that runs.");
	fprintf(out, "weft_build_info{version=\"%s\"} 1\n", PACKAGE_VERSION);
	daemon_metrics_show_sandboxes(out, daemon);
	daemon_metrics_show_forwarder(out, daemon);
	daemon_metrics_show_pool(out, daemon);
	if (daemon->config->http.sandbox_metrics)
		daemon_metrics_write_sandboxes(out, daemon);
	daemon_metrics_show_denied(out, daemon);
	daemon_metrics_write_head(
	    out, "weft_repairs_total", "counter",
	    "Times that weft put back what others had changed; attempts that did not come off are not counted.");
	fprintf(out, "weft_repairs_total %" PRIu64 "\n", daemon->metrics->repairs);
	daemon_metrics_write_head(out, "weft_log_lines_lost_total", "counter",
				  "Lines of the log that its reader never got: it stood still, or refused them.");
	fprintf(out, "weft_log_lines_lost_total %" PRIu64 "\n", log_lost());
	bool failed = ferror(out);
	if (fclose(out) == 0 && !failed)
		return text;
	free(text);
	return NULL;
}

void daemon_metrics(void *context, struct control_request *request)
{
	size_t length;
	char *text = daemon_metrics_show(context, &length);

	if (text)
		control_reply_text(control_request_release(request), "text/plain; version=0.0.4; charset=utf-8", text,
				   length);
	else
		control_request_refuse_unavailable(request, "out of memory");
	free(text);
}

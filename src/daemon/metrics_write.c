/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parts of Prometheus' text format that more than one metric has.
 */
#include "daemon/metrics_write.h"

#include "forwarder/forwarder.h"

#include <inttypes.h>

void daemon_metrics_write_head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void daemon_metrics_show(FILE *out, const char *name, const char *type, const char *help, uint64_t value)
{
	daemon_metrics_write_head(out, name, type, help);
	fprintf(out, "%s %" PRIu64 "\n", name, value);
}

void daemon_metrics_write_histogram(FILE *out, const char *name, const uint64_t *counts, uint64_t sum_us)
{
	uint64_t total = 0;

	for (size_t i = 0; i < CONNECT_BUCKETS - 1; i++) {
		total += counts[i];
		fprintf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, (double)fwd_connect_bucket_ms[i] / 1000,
			total);
	}
	total += counts[CONNECT_BUCKETS - 1];
	fprintf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, total);
	fprintf(out, "%s_sum %g\n%s_count %" PRIu64 "\n", name, (double)sum_us / 1e6, name, total);
}

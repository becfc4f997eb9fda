/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The metrics of the door: what became of its connections, and who waits there.
 */
#include "config/config.h"
#include "daemon/daemon.h"
#include "daemon/metrics_write.h"
#include "forwarder/forwarder.h"

#include <inttypes.h>

void daemon_metrics_write_door(FILE *out, const struct daemon *daemon)
{
	static const char name[] = "weft_door_connections_total";
	struct fwd_door_stats stats;

	if (!daemon->config->door.socket)
		return;
	fwd_door_stats(daemon->forwarder, &stats);
	daemon_metrics_write_head(
	    out, name, "counter",
	    "Connections through the door: served by a guest, refused and why, or broken: without a "
	    "whole and correct header.");
	fprintf(out, "%s{reason=\"served\"} %" PRIu64 "\n", name, stats.served);
	for (unsigned i = 0; i < DOOR_REFUSALS; i++)
		fprintf(out, "%s{reason=\"%s\"} %" PRIu64 "\n", name, door_refusal_name((enum door_refusal)i),
			stats.refused[i]);
	fprintf(out, "%s{reason=\"broken\"} %" PRIu64 "\n", name, stats.broken);
	daemon_metrics_write_head(out, "weft_door_held", "gauge",
				  "Connections through the door that no guest has answered yet.");
	fprintf(out, "weft_door_held %" PRIu64 "\n", stats.held);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What wakes sandboxes: the packets that were heard, the copies of them, and the posts to the manager. */
#include "daemon/asleep.h"
#include "daemon/metrics.h"
#include "daemon/metrics_write.h"
#include "wake/wake.h"

#include <inttypes.h>

void daemon_metrics_write_wake(FILE *out, const struct daemon *daemon)
{
	struct wake_stats stats;

	daemon_asleep_stats(daemon, &stats);
	daemon_metrics_show(out, "weft_wake_packets_audible", "gauge",
			    "Whether packets to sandboxes that are asleep can be heard; 1 too while none is asleep.",
			    !stats.log_error);
	daemon_metrics_write_head(
	    out, "weft_wake_packets_total", "counter",
	    "First packets to sandboxes that are asleep: heard, from a source of [wake] ignore, and "
	    "those that begin no flow.");
	fprintf(out, "weft_wake_packets_total{result=\"heard\"} %" PRIu64 "\n", stats.heard);
	fprintf(out, "weft_wake_packets_total{result=\"ignored\"} %" PRIu64 "\n", stats.ignored);
	fprintf(out, "weft_wake_packets_total{result=\"unreadable\"} %" PRIu64 "\n", stats.unreadable);
	daemon_metrics_show(out, "weft_wake_overruns_total", "counter",
			    "Times that more such packets came than could be heard; some were lost each time.",
			    stats.lost);
	daemon_metrics_show(out, "weft_wake_copies", "gauge",
			    "Copies of such packets that are kept until their sandbox is ready.", stats.kept);
	daemon_metrics_write_head(out, "weft_wake_copies_total", "counter",
				  "Copies that were sent again, and those that the kernel did not take.");
	fprintf(out, "weft_wake_copies_total{result=\"sent\"} %" PRIu64 "\n", stats.sent_again);
	fprintf(out, "weft_wake_copies_total{result=\"refused\"} %" PRIu64 "\n", stats.not_sent);
	daemon_metrics_show(out, "weft_wake_posts_pending", "gauge",
			    "Posts that the manager at [wake] notify has not taken yet.", stats.telling);
	daemon_metrics_write_head(out, "weft_wake_posts_total", "counter",
				  "Posts that the manager took, and attempts that failed.");
	fprintf(out, "weft_wake_posts_total{result=\"taken\"} %" PRIu64 "\n", stats.told);
	fprintf(out, "weft_wake_posts_total{result=\"failed\"} %" PRIu64 "\n", stats.tell_failures);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kernel tells of this process, under the names and with the meaning that Prometheus' own client libraries give them, and
 * of the host's table of tracked flows. Each is a read of a small file under /proc, or less. A number that cannot be had is left out.
 */
#include "daemon/metrics_write.h"

#include "forwarder/forwarder.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Reads the first COUNT numbers of the file PATH. False: it has fewer. */
static bool daemon_metrics_read_numbers(const char *path, uint64_t *numbers, size_t count)
{
	FILE *file = fopen(path, "re");
	size_t i = 0;

	if (!file)
		return false;
	while (i < count && fscanf(file, "%" SCNu64, &numbers[i]) == 1)
		i++;
	fclose(file);
	return i == count;
}

static double daemon_metrics_seconds(clockid_t clock)
{
	struct timespec time;

	return clock_gettime(clock, &time) == 0 ? (double)time.tv_sec + (double)time.tv_nsec / 1e9 : 0;
}

double daemon_metrics_process_started(void)
{
	enum { FIELDS_BEFORE = 19 }; /* from the third on: see proc(5) */
	char line[1024];
	FILE *file = fopen("/proc/self/stat", "re");
	double now = daemon_metrics_seconds(CLOCK_REALTIME);
	const char *field;

	if (!file)
		return now;
	/* The second field is the program's name, which may have spaces and parentheses. */
	field = fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
	fclose(file);
	for (unsigned i = 0; field && i <= FIELDS_BEFORE; i++) {
		field = strchr(field, ' ');
		field = field ? field + 1 : NULL;
	}
	uint64_t ticks;
	if (!field || sscanf(field, "%" SCNu64, &ticks) != 1)
		return now;
	return now - daemon_metrics_seconds(CLOCK_BOOTTIME) + (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

/* The exact number, which kernels before 6.2 do not tell: COUNTED then. */
static uint64_t daemon_metrics_open_descriptors(uint64_t counted)
{
	struct stat folder;

	return stat("/proc/self/fd", &folder) == 0 && folder.st_size > 0 ? (uint64_t)folder.st_size : counted;
}

static void daemon_metrics_write_memory(FILE *out)
{
	uint64_t pages[2]; /* virtual, resident */
	uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE);

	if (!daemon_metrics_read_numbers("/proc/self/statm", pages, 2))
		return;
	daemon_metrics_write_head(out, "process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.");
	fprintf(out, "process_virtual_memory_bytes %" PRIu64 "\n", pages[0] * page_size);
	daemon_metrics_write_head(out, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.");
	fprintf(out, "process_resident_memory_bytes %" PRIu64 "\n", pages[1] * page_size);
}

void daemon_metrics_write_process(FILE *out, const struct fwd_stats *stats, double started)
{
	daemon_metrics_write_head(out, "process_cpu_seconds_total", "counter",
				  "Total user and system CPU time spent in seconds.");
	fprintf(out, "process_cpu_seconds_total %.6f\n", daemon_metrics_seconds(CLOCK_PROCESS_CPUTIME_ID));
	daemon_metrics_write_head(out, "process_open_fds", "gauge", "Number of open file descriptors.");
	fprintf(out, "process_open_fds %" PRIu64 "\n", daemon_metrics_open_descriptors(stats->descriptors));
	daemon_metrics_write_head(out, "process_max_fds", "gauge", "Maximum number of open file descriptors.");
	fprintf(out, "process_max_fds %" PRIu64 "\n", stats->descriptor_limit);
	daemon_metrics_write_memory(out);
	daemon_metrics_write_head(out, "process_start_time_seconds", "gauge",
				  "Start time of the process since unix epoch in seconds.");
	fprintf(out, "process_start_time_seconds %.2f\n", started);
}

void daemon_metrics_write_conntrack(FILE *out)
{
	uint64_t used, limit;

	if (!daemon_metrics_read_numbers("/proc/sys/net/netfilter/nf_conntrack_count", &used, 1) ||
	    !daemon_metrics_read_numbers("/proc/sys/net/netfilter/nf_conntrack_max", &limit, 1))
		return;
	daemon_metrics_write_head(out, "weft_conntrack_entries", "gauge",
				  "Entries of the host's table of tracked flows, those of other programs too.");
	fprintf(out, "weft_conntrack_entries %" PRIu64 "\n", used);
	daemon_metrics_write_head(out, "weft_conntrack_entries_limit", "gauge",
				  "The most that it may have, net.netfilter.nf_conntrack_max.");
	fprintf(out, "weft_conntrack_entries_limit %" PRIu64 "\n", limit);
}

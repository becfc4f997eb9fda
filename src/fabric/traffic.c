/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bytes of all slots at once, from the kernel's counters of the host's links. /proc/net/dev lists them without the RTNL lock, and a
 * line costs about a microsecond, so thousands of slots are read every two seconds for next to nothing. The claimer reads, because
 * main is not to wait. The one reading and its list are kept from one time to the next; what finds no memory is missing this time.
 */
#include "base/cleanup.h"
#include "base/container_of.h"
#include "base/log.h"
#include "base/vec.h"
#include "config/layouts.h"
#include "fabric/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct traffic {
	struct job job;
	struct fabric *fabric;
	fabric_traffic_done *done; /* NULL: no reading is under way */
	void *context;
	struct traffic_list list;
};

/* Reads a line of /proc/net/dev: "  NAME: " and 16 numbers, bytes received the first and bytes sent the ninth. */
static bool fabric_parse_traffic(const struct config *config, char *line, struct fabric_traffic *traffic)
{
	enum { RECEIVED = 0, SENT = 8 };
	uint64_t numbers[SENT + 1];
	char *name = line + strspn(line, " ");
	char *rest = strchr(name, ':');

	if (!rest)
		return false;
	*rest++ = '\0';
	traffic->slot = config_layout_veth_slot(config, name, NULL);
	if (!traffic->slot)
		return false;
	for (size_t i = 0; i <= SENT; i++) {
		char *end;
		numbers[i] = strtoull(rest, &end, 10);
		if (end == rest)
			return false;
		rest = end;
	}
	traffic->from_guest = numbers[RECEIVED];
	traffic->to_guest = numbers[SENT];
	return true;
}

int fabric_traffic_read_all(const struct config *config, struct traffic_list *list, struct err *err)
{
	FILE *file = fopen("/proc/thread-self/net/dev", "re");
	AUTO_FREE char *line = NULL;
	size_t size = 0;

	list->count = 0;
	if (!file)
		return err_set(err, errno, "/proc/thread-self/net/dev");
	while (getline(&line, &size, file) > 0) {
		struct fabric_traffic one, *kept;
		if (!fabric_parse_traffic(config, line, &one))
			continue;
		kept = vec_push(list);
		if (kept)
			*kept = one;
	}
	bool failed = ferror(file);
	fclose(file);
	return failed ? err_set(err, EIO, "/proc/thread-self/net/dev") : 0;
}

static int fabric_run_traffic(struct job *job)
{
	struct traffic *traffic = container_of(job, struct traffic, job);

	return fabric_traffic_read_all(traffic->fabric->config, &traffic->list, &job->err);
}

static void fabric_finish_traffic(struct job *job)
{
	struct traffic *traffic = container_of(job, struct traffic, job);
	fabric_traffic_done *done = traffic->done;

	traffic->done = NULL;
	done(traffic->context, traffic->list.items, traffic->list.count, fabric_job_failure(job));
}

struct traffic *fabric_traffic_new(struct fabric *fabric)
{
	struct traffic *traffic = calloc(1, sizeof(*traffic));

	if (traffic)
		traffic->fabric = fabric;
	return traffic;
}

void fabric_traffic_free(struct traffic *traffic)
{
	if (traffic)
		vec_free(&traffic->list);
	free(traffic);
}

bool fabric_read_traffic(struct fabric *fabric, fabric_traffic_done *done, void *context)
{
	struct traffic *traffic = fabric->traffic;

	if (traffic->done)
		return false;
	traffic->done = done;
	traffic->context = context;
	traffic->job = (struct job){ .run = fabric_run_traffic, .finish = fabric_finish_traffic };
	fabric_job_thread_post(fabric->claimer, &traffic->job, JOB_REFILL);
	return true;
}

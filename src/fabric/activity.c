/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which slots are in use, by a counter of their namespaces' rules. To read one takes a socket in its namespace, so first the counters of
 * the host's links are read, all at once. A slot's counter is read only if its link has carried something since the last reading. A job
 * reads a few counters, and its end posts the next job, as in collect.c. A slot for which there is no memory or descriptor is read the next
 * time.
 */
#include "base/container_of.h"
#include "base/log.h"
#include "fabric/rules/rules.h"
#include "fabric/state.h"

#include <stdlib.h>
#include <unistd.h>

enum { SLOTS_A_JOB = 8 };

struct activity {
	struct job job;
	struct fabric *fabric;
	fabric_activity_done *done; /* NULL: no reading is under way */
	void *context;
	struct traffic_list traffic;
	size_t next; /* in TRAFFIC */

	/* The job at hand. */
	struct activity_read {
		unsigned slot;
		int netns_fd;
		uint64_t bytes, counter;
		bool good;
	} reads[SLOTS_A_JOB];
	size_t used;

	struct activity_list {
		VEC_OF(struct fabric_activity);
	} list;
};

static int fabric_activity_run_traffic(struct job *job)
{
	struct activity *activity = container_of(job, struct activity, job);

	return fabric_traffic_read_all(activity->fabric->config, &activity->traffic, &job->err);
}

static int fabric_activity_run_counters(struct job *job)
{
	struct activity *activity = container_of(job, struct activity, job);

	for (size_t i = 0; i < activity->used; i++) {
		struct activity_read *read = &activity->reads[i];

		read->good = rules_slot_activity(read->netns_fd, &read->counter, &job->err) == 0;
		if (!read->good)
			log_debug("activity of a slot not read", F_UINT("slot", read->slot),
				  F_STR("error", job->err.text));
	}
	return 0;
}

/* Gathers the next few slots whose links carried something; false: there are none left. */
static bool fabric_activity_gather(struct activity *activity)
{
	struct err ignored;

	activity->used = 0;
	for (; activity->next < activity->traffic.count && activity->used < SLOTS_A_JOB; activity->next++) {
		const struct fabric_traffic *traffic = &activity->traffic.items[activity->next];
		struct activity_read *read = &activity->reads[activity->used];
		const struct slot *slot = fabric_slot_find(activity->fabric, traffic->slot);

		*read =
		    (struct activity_read){ .slot = traffic->slot, .bytes = traffic->to_guest + traffic->from_guest };
		if (!slot || !fabric_slot_is_live(slot) ||
		    (slot->activity.known && slot->activity.bytes == read->bytes))
			continue;
		read->netns_fd = fabric_slot_open_netns(slot, &ignored);
		if (read->netns_fd >= 0)
			activity->used++;
	}
	return activity->used > 0;
}

static void fabric_activity_take(struct slot *slot, const struct activity_read *read)
{
	struct slot_activity *known = &slot->activity;
	/* New tables begin with 0. */
	uint64_t before = read->counter < known->counter ? 0 : known->counter;

	known->packets += read->counter - before;
	known->counter = read->counter;
	known->bytes = read->bytes;
	known->known = true;
}

static void fabric_activity_end(struct activity *activity)
{
	const struct fabric *fabric = activity->fabric;
	fabric_activity_done *done = activity->done;

	activity->list.count = 0;
	for (size_t i = 0; i < activity->traffic.count; i++) {
		const struct slot *slot = fabric_slot_find(fabric, activity->traffic.items[i].slot);
		struct fabric_activity *one =
		    slot && fabric_slot_is_live(slot) && slot->activity.known ? vec_push(&activity->list) : NULL;

		if (one)
			*one = (struct fabric_activity){ slot->number, slot->activity.packets };
	}
	activity->done = NULL;
	done(activity->context, activity->list.items, activity->list.count, fabric_job_failure(&activity->job));
}

static void fabric_activity_finish(struct job *job)
{
	struct activity *activity = container_of(job, struct activity, job);

	for (size_t i = 0; i < activity->used; i++) {
		const struct activity_read *read = &activity->reads[i];
		struct slot *slot = fabric_slot_find(activity->fabric, read->slot);

		close(read->netns_fd);
		if (read->good && slot && fabric_slot_is_live(slot))
			fabric_activity_take(slot, read);
	}
	activity->used = 0;
	if (job->failed || !fabric_activity_gather(activity)) {
		fabric_activity_end(activity);
		return;
	}
	job->run = fabric_activity_run_counters;
	fabric_job_thread_post(activity->fabric->claimer, job, JOB_REFILL);
}

struct activity *fabric_activity_new(struct fabric *fabric)
{
	struct activity *activity = calloc(1, sizeof(*activity));

	if (activity)
		activity->fabric = fabric;
	return activity;
}

void fabric_activity_free(struct activity *activity)
{
	if (!activity)
		return;
	vec_free(&activity->traffic);
	vec_free(&activity->list);
	free(activity);
}

bool fabric_read_activity(struct fabric *fabric, fabric_activity_done *done, void *context)
{
	struct activity *activity = fabric->activity;

	if (activity->done)
		return false;
	activity->done = done;
	activity->context = context;
	activity->next = 0;
	activity->used = 0;
	activity->traffic.count = 0;
	activity->job = (struct job){ .run = fabric_activity_run_traffic, .finish = fabric_activity_finish };
	fabric_job_thread_post(fabric->claimer, &activity->job, JOB_REFILL);
	return true;
}

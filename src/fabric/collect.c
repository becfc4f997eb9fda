/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading the counters of many slots. A job reads a few, and the next job is posted when they are there, so that a claim in
 * between waits for a few dumps and not for thousands. A slot that goes meanwhile is left out. Where all are asked for, an idle
 * slot is read in every sixth round only, so that thousands of idle sandboxes cost next to nothing.
 */
#include "base/container_of.h"
#include "base/log.h"
#include "base/vec.h"
#include "fabric/answer.h"
#include "fabric/rules/rules.h"
#include "fabric/state.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	SLOTS_A_JOB = 8,
	STILL = 3, /* after so many reads without a change a slot counts as idle ... */
	SKIPS = 5, /* ... and is left out so often before it is read again */
};

struct collection {
	struct job job;
	struct fabric *fabric;
	fabric_counts_done *done;
	void *context;
	unsigned first, last, next; /* slot numbers */
	struct collection_counts {
		VEC_OF(struct fabric_counts);
	} counts;

	/* The job at hand. */
	unsigned slots[SLOTS_A_JOB];
	int fds[SLOTS_A_JOB];
	int links[SLOTS_A_JOB]; /* indexes of the veths on the host */
	struct fabric_counts read[SLOTS_A_JOB];
	bool good[SLOTS_A_JOB];
	size_t used;
};

static int fabric_run_collect(struct job *job)
{
	struct collection *collection = container_of(job, struct collection, job);
	uint64_t drops[SLOTS_A_JOB] = { 0 };

	/* Without the host's table there are no drops to add. */
	if (rules_host_drops(collection->links, drops, collection->used, &job->err) < 0)
		log_debug("drops of the host not read", F_STR("error", job->err.text));
	for (size_t i = 0; i < collection->used; i++) {
		collection->read[i].slot = collection->slots[i];
		collection->good[i] = rules_slot_counts(collection->fds[i], &collection->read[i], &job->err) == 0;
		collection->read[i].host_drops = drops[i];
	}
	return 0;
}

static bool fabric_may_skip_counts(const struct collection *collection, struct slot *slot)
{
	if (collection->first == collection->last || slot->still < STILL || slot->skipped == SKIPS) {
		slot->skipped = 0;
		return false;
	}
	slot->skipped++;
	return true;
}

static bool fabric_same_counts(const struct fabric_counts *a, const struct fabric_counts *b)
{
	return a->packets_to_guest == b->packets_to_guest && a->packets_from_guest == b->packets_from_guest &&
	       a->drops == b->drops && a->host_drops == b->host_drops;
}

/* Gathers the next few slots; false: there are none left. */
static bool fabric_gather_counts(struct collection *collection)
{
	struct err ignored;

	collection->used = 0;
	for (; collection->next <= collection->last && collection->used < SLOTS_A_JOB; collection->next++) {
		struct slot *slot = fabric_slot_find(collection->fabric, collection->next);
		int fd;

		if (!slot || !fabric_slot_is_live(slot) || fabric_may_skip_counts(collection, slot))
			continue;
		fd = fabric_slot_open_netns(slot, &ignored);
		if (fd < 0)
			continue;
		collection->slots[collection->used] = slot->number;
		collection->links[collection->used] = slot->veth_index;
		collection->read[collection->used] = (struct fabric_counts){ 0 };
		collection->fds[collection->used++] = fd;
	}
	return collection->used > 0;
}

static void fabric_end_collect(struct collection *collection)
{
	struct job *job = &collection->job;

	if (!job->failed && collection->first == collection->last && !collection->counts.count) {
		job->failed = true;
		if (!job->err.text[0])
			err_set(&job->err, ENOENT, "slot %u", collection->first);
	}
	if (job->failed)
		collection->done(collection->context, NULL, 0, &job->err);
	else
		collection->done(collection->context, collection->counts.items, collection->counts.count, NULL);
	vec_free(&collection->counts);
	free(collection);
}

static void fabric_finish_collect(struct job *job)
{
	struct collection *collection = container_of(job, struct collection, job);

	for (size_t i = 0; i < collection->used; i++) {
		struct slot *slot = fabric_slot_find(collection->fabric, collection->slots[i]);
		struct fabric_counts *kept;

		close(collection->fds[i]);
		if (job->failed || !collection->good[i] || !slot || !fabric_slot_is_live(slot))
			continue;
		if (!fabric_same_counts(&slot->counts, &collection->read[i]))
			slot->still = 0;
		else if (slot->still < STILL && collection->first != collection->last)
			slot->still++;
		slot->counts = collection->read[i];
		kept = vec_push(&collection->counts);
		if (!kept) {
			job->failed = true;
			err_set(&job->err, ENOMEM, "counters");
			continue;
		}
		*kept = collection->read[i];
	}
	if (job->failed || !fabric_gather_counts(collection))
		fabric_end_collect(collection);
	else
		fabric_job_thread_post(collection->fabric->claimer, job, JOB_REFILL);
}

static void fabric_deliver_collect(struct mail *mail)
{
	fabric_finish_collect(container_of(mail, struct job, mail));
}

void fabric_collect(struct fabric *fabric, unsigned slot, fabric_counts_done *done, void *context)
{
	struct collection *collection = calloc(1, sizeof(*collection));
	struct err err;

	if (!collection) {
		err_set(&err, ENOMEM, "counters");
		fabric_answer_counts(fabric, done, context, &err);
		return;
	}
	collection->job.run = fabric_run_collect;
	collection->job.finish = fabric_finish_collect;
	collection->fabric = fabric;
	collection->done = done;
	collection->context = context;
	collection->first = slot ? slot : 1;
	collection->last = slot ? slot : CONFIG_SLOT_MAX;
	collection->next = collection->first;
	/* Begins when the caller has returned. */
	collection->job.mail.deliver = fabric_deliver_collect;
	base_mailbox_post(fabric->mailbox, &collection->job.mail);
}

int fabric_read_counts(const struct fabric *fabric, unsigned number, int netns_fd, struct fabric_counts *counts,
		       struct err *err)
{
	const struct slot *slot = fabric_slot_find(fabric, number);
	uint64_t drops = 0;

	counts->slot = number;
	if (rules_slot_counts(netns_fd, counts, err) < 0 ||
	    (slot && rules_host_drops(&slot->veth_index, &drops, 1, err) < 0))
		return -1;
	counts->host_drops = drops;
	return 0;
}

int fabric_read_host_counts(uint64_t denied[static FABRIC_RULES], struct err *err)
{
	return rules_host_counts(denied, err);
}

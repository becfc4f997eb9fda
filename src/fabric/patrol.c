/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rules can be altered by anybody with the right to, and a table can be flushed. The patrol compares what is there with what
 * should be: at once where an event raised suspicion, and of all slots in turn from time to time. On its way it reads out the
 * record of denied flows. One job at a time, so that a claim never stands behind more than one comparison.
 *
 * A comparison uses the plan that the slot has when the job is posted, and jobs of the claimer that concern rules have one
 * urgency: so an update that is asked for later also comes later, and is never undone by a patrol.
 */
#include "fabric/state.h"

#include "base/clock.h"
#include "base/log.h"
#include "fabric/rules/rules.h"
#include "fabric/slot/host.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	TICK_MS = 1000,
	SUSPECT_MS = 20, /* what follows upon one another is one suspicion */
	HOST_DENIALS_EVERY_MS = 2000,
	HOST_EVERY_MS = 10000, /* each object is visited at least this far apart, without a suspicion */
	SLOT_EVERY_MS = 5000,
	SLOTS_A_TICK = 50,
	ROUND_TICKS = 45,  /* all are visited in so many at most: denials are kept for a minute */
	DENIALS_MAX = 256, /* of one visit */
};

TAILQ_HEAD(suspect_queue, slot);

struct patrol {
	struct fabric *fabric;
	struct timer timer, hurry;
	bool hurried;
	struct suspect_queue suspects;
	bool host_suspected, routes_suspected;
	uint64_t host_ms;
	uint64_t host_denials_ms;       /* when they were read last */
	uint64_t host_denials_since_ms; /* see nft_host_denials() */
	bool busy;                      /* a job is under way */
	unsigned budget;                /* slots of this tick that are still to be visited without a suspicion */
	unsigned cursor;                /* the slot visited last */
	unsigned repairs;               /* the slot whose links were looked over last */
};

struct visit {
	struct job job;
	struct patrol *patrol;
	struct fabric *fabric;
	unsigned slot; /* 0: the host */
	struct plan_share *plan;
	int netns_fd;
	bool republish;
	uint32_t generation;         /* of the ruleset when it was last found well; 0: not known */
	struct fabric_counts counts; /* last read */
	bool repaired;
	uint64_t denials_since_ms; /* see nft_slot_denials() */
	struct fabric_denial *denials;
	int *links; /* of denials on the host: by which each came */
	size_t denial_count;
};

static void go_on(struct patrol *patrol);

static int run_host(struct job *job)
{
	struct visit *visit = (struct visit *)job;
	const struct config *config = visit->fabric->config;
	bool intact;

	if (nft_host_check(config, &intact, &job->err) < 0)
		return -1;
	if (intact)
		return 0;
	visit->repaired = true;
	return nft_host_apply(config, &job->err);
}

static int run_routes(struct job *job)
{
	struct visit *visit = (struct visit *)job;

	return host_routes_ensure(job_host(job), visit->fabric->config, &visit->repaired, &job->err);
}

static void finish_routes(struct job *job)
{
	struct visit *visit = (struct visit *)job;
	const struct fabric_watcher *watcher = &visit->fabric->watcher;

	if (job->failed && job->err.code != ECANCELED)
		log_seldom(LOG_ERROR_LEVEL, "routes not checked", F_STR("error", job->err.text));
	else if (!job->failed && visit->repaired)
		watcher->repaired(watcher->context, 0, "unreachable routes");
	free(visit);
}

static void take_denial(void *context, const struct fabric_denial *denial)
{
	struct visit *visit = context;

	if (!visit->denials)
		visit->denials = calloc(DENIALS_MAX, sizeof(*visit->denials));
	if (visit->denials && visit->denial_count < DENIALS_MAX)
		visit->denials[visit->denial_count++] = *denial;
}

static void take_host_denial(void *context, int link, const struct fabric_denial *denial)
{
	struct visit *visit = context;

	if (!visit->links)
		visit->links = calloc(DENIALS_MAX, sizeof(*visit->links));
	if (!visit->links || visit->denial_count == DENIALS_MAX)
		return;
	visit->links[visit->denial_count] = link;
	take_denial(visit, denial);
}

static int run_host_denials(struct job *job)
{
	struct visit *visit = (struct visit *)job;

	/* Without the table there are none; that it is missing is seen by others. */
	if (nft_host_denials(&visit->denials_since_ms, take_host_denial, visit, &job->err) < 0)
		return job->err.code == ENOENT ? 0 : -1;
	return 0;
}

/* Checks the slot's tables, unless nothing has changed in the namespace since they were found well, and puts them right. */
static int check_tables(struct visit *visit, struct err *err)
{
	const struct config *config = visit->fabric->config;
	const struct fabric_plan *plan = visit->plan->plan;
	uint32_t generation;
	bool intact;

	/* Asked before the check: what changes meanwhile is seen the next time. */
	if (nft_generation(visit->netns_fd, &generation, err) < 0)
		return -1;
	if (generation == visit->generation)
		return 0;
	if (nft_slot_check(visit->netns_fd, config, plan, &intact, err) < 0)
		return -1;
	visit->repaired = !intact;
	if (!intact)
		return nft_slot_repair(visit->netns_fd, config, plan, &visit->counts, err);
	visit->generation = generation;
	return 0;
}

static int run_slot(struct job *job)
{
	struct visit *visit = (struct visit *)job;
	const struct config *config = visit->fabric->config;
	const struct fabric_plan *plan = visit->plan->plan;

	if (visit->republish && nft_host_publish(config, plan->slot, plan->nat, plan->nat_count, &job->err) < 0)
		return -1;
	if (check_tables(visit, &job->err) < 0)
		return -1;
	return nft_slot_denials(visit->netns_fd, &visit->denials_since_ms, take_denial, visit, &job->err);
}

/* All published ports went with the table. */
static void republish_all(struct patrol *patrol)
{
	for (unsigned number = 1; number <= CONFIG_SLOT_MAX; number++) {
		struct slot *slot = patrol->fabric->slots[number];

		if (!slot || slot->phase != SLOT_LIVE || !slot->plan || !slot->plan->plan->nat_count)
			continue;
		slot->republish = true;
		patrol_suspect(patrol, slot);
	}
}

/* The live slot whose link on the host has this number; NULL: none. */
static const struct slot *slot_by_link(const struct fabric *fabric, int link)
{
	for (unsigned number = 1; number <= CONFIG_SLOT_MAX; number++) {
		const struct slot *slot = fabric->slots[number];

		if (slot && slot->phase == SLOT_LIVE && slot->veth_index == link)
			return slot;
	}
	return NULL;
}

static void tell(struct visit *visit, const struct slot *slot)
{
	const struct fabric_watcher *watcher = &visit->fabric->watcher;

	if (visit->repaired)
		watcher->repaired(watcher->context, visit->slot, "table inet weft");
	for (size_t i = 0; slot && slot->phase == SLOT_LIVE && i < visit->denial_count; i++)
		watcher->denied(watcher->context, visit->slot, &visit->denials[i]);
	for (size_t i = 0; visit->links && i < visit->denial_count; i++) {
		slot = slot_by_link(visit->fabric, visit->links[i]);
		if (slot)
			watcher->denied(watcher->context, slot->number, &visit->denials[i]);
	}
}

static void finish_visit(struct job *job)
{
	struct visit *visit = (struct visit *)job;
	struct patrol *patrol = visit->patrol;
	struct slot *slot = visit->slot ? slot_find(visit->fabric, visit->slot) : NULL;

	patrol->busy = false;
	if (slot) {
		slot->denials_since_ms = visit->denials_since_ms;
		slot->checked_generation = job->failed ? 0 : visit->generation;
		slot->checked_plan = visit->plan;
	}
	if (visit->job.run == run_host_denials)
		patrol->host_denials_since_ms = visit->denials_since_ms;
	if (!job->failed) {
		tell(visit, slot);
		if (!visit->slot && visit->repaired)
			republish_all(patrol);
	} else if (job->err.code != ECANCELED && (!visit->slot || (slot && slot->phase == SLOT_LIVE))) {
		log_seldom(LOG_ERROR_LEVEL, "rules not checked", F_UINT("slot", visit->slot),
			   F_STR("error", job->err.text));
	}
	plan_share_release(visit->plan);
	if (visit->netns_fd >= 0)
		close(visit->netns_fd);
	free(visit->denials);
	free(visit->links);
	free(visit);
	go_on(patrol);
}

static struct visit *visit_new(struct patrol *patrol)
{
	struct visit *visit = calloc(1, sizeof(*visit));

	if (!visit)
		return NULL;
	visit->job.finish = finish_visit;
	visit->patrol = patrol;
	visit->fabric = patrol->fabric;
	visit->netns_fd = -1;
	return visit;
}

static void post(struct patrol *patrol, struct visit *visit)
{
	patrol->busy = true;
	job_thread_post(patrol->fabric->claimer, &visit->job, JOB_CLAIM);
}

/* By the builder: routes take RTNL. */
static void visit_routes(struct patrol *patrol)
{
	struct visit *visit = visit_new(patrol);

	patrol->routes_suspected = false;
	if (!visit)
		return;
	visit->job.run = run_routes;
	visit->job.finish = finish_routes;
	job_thread_post(patrol->fabric->builder, &visit->job, JOB_CLAIM);
}

static void visit_host(struct patrol *patrol)
{
	struct visit *visit = visit_new(patrol);

	patrol->host_suspected = false;
	patrol->host_ms = clock_now_ms();
	patrol->routes_suspected = true;
	if (!visit)
		return;
	visit->job.run = run_host;
	post(patrol, visit);
}

static void visit_host_denials(struct patrol *patrol)
{
	struct visit *visit = visit_new(patrol);

	patrol->host_denials_ms = clock_now_ms();
	if (!visit)
		return;
	visit->job.run = run_host_denials;
	visit->denials_since_ms = patrol->host_denials_since_ms;
	post(patrol, visit);
}

/* Whether it was begun. */
static bool visit_slot(struct patrol *patrol, struct slot *slot)
{
	struct visit *visit = visit_new(patrol);
	struct err err;

	slot->patrolled_ms = clock_now_ms();
	if (!visit)
		return false;
	visit->netns_fd = slot_open_netns(patrol->fabric, slot, &err);
	if (visit->netns_fd < 0) {
		free(visit);
		fabric_look(patrol->fabric, slot);
		return false;
	}
	visit->job.run = run_slot;
	visit->slot = slot->number;
	visit->plan = plan_share_hold(slot->plan);
	visit->republish = slot->republish;
	visit->denials_since_ms = slot->denials_since_ms;
	visit->generation = slot->checked_plan == slot->plan ? slot->checked_generation : 0;
	visit->counts = slot->counts;
	slot->republish = false;
	post(patrol, visit);
	return true;
}

/* The next slot in turn that was not visited for long enough; NULL: none. */
static struct slot *next_due(struct patrol *patrol)
{
	uint64_t now = clock_now_ms();

	for (unsigned i = 0; i < CONFIG_SLOT_MAX; i++) {
		struct slot *slot;

		patrol->cursor = patrol->cursor % CONFIG_SLOT_MAX + 1;
		slot = patrol->fabric->slots[patrol->cursor];
		if (slot && slot->phase == SLOT_LIVE && slot->plan && !slot->broken &&
		    now - slot->patrolled_ms >= SLOT_EVERY_MS)
			return slot;
	}
	return NULL;
}

static struct slot *next_suspect(struct patrol *patrol)
{
	struct slot *slot = TAILQ_FIRST(&patrol->suspects);

	if (slot) {
		TAILQ_REMOVE(&patrol->suspects, slot, suspects);
		slot->suspected = false;
	}
	return slot;
}

static void go_on(struct patrol *patrol)
{
	struct slot *slot;

	if (patrol->routes_suspected && !patrol->fabric->stopping)
		visit_routes(patrol);
	while (!patrol->busy && !patrol->fabric->stopping) {
		if (patrol->host_suspected || clock_now_ms() - patrol->host_ms >= HOST_EVERY_MS) {
			visit_host(patrol);
			continue;
		}
		if (clock_now_ms() - patrol->host_denials_ms >= HOST_DENIALS_EVERY_MS) {
			visit_host_denials(patrol);
			continue;
		}
		slot = next_suspect(patrol);
		if (!slot && patrol->budget && (slot = next_due(patrol)))
			patrol->budget--;
		if (!slot)
			break;
		if (slot->phase == SLOT_LIVE && slot->plan)
			visit_slot(patrol, slot);
	}
}

/* Addresses and routes are told by events; should one have been lost, each slot is looked over in turn. */
static void look_over_one(struct patrol *patrol)
{
	for (unsigned i = 0; i < CONFIG_SLOT_MAX; i++) {
		struct slot *slot;

		patrol->repairs = patrol->repairs % CONFIG_SLOT_MAX + 1;
		slot = patrol->fabric->slots[patrol->repairs];
		if (!slot || slot->phase != SLOT_LIVE)
			continue;
		fabric_repair(patrol->fabric, slot);
		return;
	}
}

static unsigned slots_a_tick(const struct fabric *fabric)
{
	unsigned live = 0;

	for (unsigned number = 1; number <= CONFIG_SLOT_MAX; number++)
		live += fabric->slots[number] && fabric->slots[number]->phase == SLOT_LIVE;
	return live / ROUND_TICKS > SLOTS_A_TICK ? live / ROUND_TICKS : SLOTS_A_TICK;
}

static void on_tick(void *context)
{
	struct patrol *patrol = context;

	patrol->budget = slots_a_tick(patrol->fabric);
	look_over_one(patrol);
	/* Its size may have been reloaded. */
	pool_kick(patrol->fabric->pool, false);
	go_on(patrol);
	timer_start(&patrol->timer, TICK_MS);
}

static void hurry(struct patrol *patrol)
{
	if (patrol->fabric->stopping || patrol->hurried)
		return;
	patrol->hurried = true;
	timer_start(&patrol->hurry, SUSPECT_MS);
}

void patrol_suspect_routes(struct patrol *patrol)
{
	patrol->routes_suspected = true;
	hurry(patrol);
}

void patrol_suspect(struct patrol *patrol, struct slot *slot)
{
	if (slot && !slot->suspected) {
		TAILQ_INSERT_TAIL(&patrol->suspects, slot, suspects);
		slot->suspected = true;
	}
	patrol->host_suspected |= !slot;
	hurry(patrol);
}

static void on_hurry(void *context)
{
	struct patrol *patrol = context;

	patrol->hurried = false;
	go_on(patrol);
}

void patrol_forget(struct patrol *patrol, const struct slot *slot)
{
	if (slot->suspected)
		TAILQ_REMOVE(&patrol->suspects, (struct slot *)slot, suspects);
}

struct patrol *patrol_new(struct fabric *fabric, struct err *err)
{
	struct patrol *patrol = calloc(1, sizeof(*patrol));

	if (!patrol) {
		err_set(err, ENOMEM, "patrol");
		return NULL;
	}
	patrol->fabric = fabric;
	TAILQ_INIT(&patrol->suspects);
	patrol->host_ms = clock_now_ms();
	if (timer_init(&patrol->timer, fabric->base, on_tick, patrol, err) < 0 ||
	    timer_init(&patrol->hurry, fabric->base, on_hurry, patrol, err) < 0) {
		patrol_free(patrol);
		return NULL;
	}
	timer_start(&patrol->timer, TICK_MS);
	return patrol;
}

void patrol_free(struct patrol *patrol)
{
	if (!patrol)
		return;
	timer_free(&patrol->timer);
	timer_free(&patrol->hurry);
	free(patrol);
}

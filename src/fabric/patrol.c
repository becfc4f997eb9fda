/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The patrol's tick also tries again what did not come off (relief.c), and looks at the host (host_facts.c).
 *
 * Any process with the right to can alter rules or flush a table. The patrol compares the rules that are there with those that
 * should be, at once where an event raised suspicion, and of all slots in turn from time to time. On its way it reads out the
 * record of denied flows. It posts one job at a time, so that a claim never stands behind more than one comparison.
 *
 * A comparison uses the plan that the slot has when the job is posted, and jobs of the claimer that concern rules have one
 * urgency. So an update that is asked for later also comes later, and is never undone by a patrol.
 */
#include "fabric/patrol.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "base/log.h"
#include "fabric/host_facts.h"
#include "fabric/host_routes.h"
#include "fabric/relief.h"
#include "fabric/repair.h"
#include "fabric/rules/rules.h"
#include "fabric/slot/flows.h"
#include "fabric/slot/host.h"
#include "fabric/state.h"
#include "fabric/suspects.h"
#include "fabric/trouble.h"
#include "fabric/wake_review.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	TICK_MS = 1000,
	HOST_DENIALS_EVERY_MS = 2000,
	HOST_EVERY_MS = 10000, /* between two visits without a suspicion */
	SLOT_EVERY_MS = 5000,
	SLOTS_A_TICK = 50,
	LOOK_OVER_MS = 250,
	LOOKED_OVER = 25,  /* slots at once, when events were lost: a claim may have to wait for them */
	ROUND_TICKS = 45,  /* all slots are visited within so many, for denials are kept for a minute */
	DENIALS_MAX = 256, /* in one visit */
};

struct patrol {
	struct fabric *fabric;
	struct timer timer;
	uint64_t host_ms;               /* when its rules were compared last */
	uint64_t host_denials_ms;       /* when denials were read last */
	uint64_t host_denials_since_ms; /* see rules_host_denials() */
	uint32_t
	    wake_generation;    /* of the host's ruleset when its sets of what sleeps were last found right; 0: never */
	bool host_stale_flows;  /* its table was repaired, and flows begun without it are not forgotten yet */
	bool busy;              /* a job is under way */
	unsigned budget;        /* slots of this tick that are still to be visited without a suspicion */
	unsigned cursor;        /* the slot visited last */
	unsigned repairs;       /* the slot whose links were looked over last */
	unsigned unlooked;      /* of how many slots the links are to be looked over, as events were lost */
	struct timer look_over; /* armed: some of them were just now */
};

struct visit {
	struct job job;
	struct patrol *patrol;
	struct fabric *fabric;
	unsigned slot; /* 0: the host */
	struct plan_share *plan;
	int netns_fd;
	bool republish;
	uint32_t generation; /* of the ruleset that was last found intact; 0: not known */
	struct wake_review wake;
	struct fabric_counts counts; /* last read */
	bool repaired;
	bool stale;                /* flows may have been begun without the table, and are to be forgotten */
	uint64_t denials_since_ms; /* see rules_slot_denials() */
	struct fabric_denial *denials;
	int *links; /* for denials on the host: the link by which each came */
	size_t denial_count;
};

static void fabric_patrol_go_on(struct patrol *patrol);

static int fabric_patrol_run_host(struct job *job)
{
	struct visit *visit = container_of(job, struct visit, job);
	const struct config *config = visit->fabric->config;
	bool intact;

	if (rules_host_check(config, &intact, &job->err) < 0)
		return -1;
	if (!intact) {
		visit->stale = true;
		if (rules_host_renew(config, &job->err) < 0 || rules_host_check(config, &intact, &job->err) < 0)
			return -1;
		if (!intact)
			return err_set(&job->err, 0, "altered while it was repaired");
		visit->repaired = true;
	}
	if (visit->stale && slot_flows_renew_outside(config, &job->err) < 0)
		return -1;
	visit->stale = false;
	if (fabric_wake_review_run(&visit->wake, config, &job->err) < 0)
		return -1;
	visit->repaired |= visit->wake.repaired;
	return 0;
}

static void fabric_patrol_take_denial(void *context, const struct fabric_denial *denial)
{
	struct visit *visit = context;

	if (!visit->denials)
		visit->denials = calloc(DENIALS_MAX, sizeof(*visit->denials));
	if (visit->denials && visit->denial_count < DENIALS_MAX)
		visit->denials[visit->denial_count++] = *denial;
}

static void fabric_patrol_take_host_denial(void *context, int link, const struct fabric_denial *denial)
{
	struct visit *visit = context;

	if (!visit->links)
		visit->links = calloc(DENIALS_MAX, sizeof(*visit->links));
	if (!visit->links || visit->denial_count == DENIALS_MAX)
		return;
	visit->links[visit->denial_count] = link;
	fabric_patrol_take_denial(visit, denial);
}

static int fabric_patrol_run_host_denials(struct job *job)
{
	struct visit *visit = container_of(job, struct visit, job);

	/* Without the table there are none; the comparison finds that it is missing. */
	if (rules_host_denials(&visit->denials_since_ms, fabric_patrol_take_host_denial, visit, &job->err) < 0)
		return job->err.code == ENOENT ? 0 : -1;
	return 0;
}

/* Compares the slot's tables and repairs them, unless no rule has changed in the namespace since they were found intact. */
static int fabric_patrol_check_tables(struct visit *visit, struct err *err)
{
	const struct config *config = visit->fabric->config;
	const struct fabric_plan *plan = visit->plan->plan;
	uint32_t generation;
	bool intact;

	/* Read before the comparison, so that a change meanwhile is seen the next time. */
	if (rules_generation(visit->netns_fd, &generation, err) < 0)
		return -1;
	if (generation == visit->generation)
		return 0;
	if (rules_slot_check(visit->netns_fd, config, plan, &intact, err) < 0)
		return -1;
	if (intact) {
		visit->generation = generation;
		return 0;
	}
	visit->stale = true;
	if (rules_slot_repair(visit->netns_fd, config, plan, &visit->counts, err) < 0 ||
	    rules_slot_check(visit->netns_fd, config, plan, &intact, err) < 0)
		return -1;
	visit->repaired = intact;
	return intact ? 0 : err_set(err, 0, "altered while they were repaired");
}

static int fabric_patrol_run_slot(struct job *job)
{
	struct visit *visit = container_of(job, struct visit, job);
	const struct config *config = visit->fabric->config;
	const struct fabric_plan *plan = visit->plan->plan;

	if (visit->republish && (rules_host_publish(config_layout_or_new(config, plan->layout), plan->slot, plan->nat,
						    plan->nat_count, &job->err) < 0 ||
				 slot_flows_renew_published(plan->nat, plan->nat_count, &job->err) < 0))
		return -1;
	if (fabric_patrol_check_tables(visit, &job->err) < 0)
		return -1;
	if (visit->stale && slot_flows_renew_inside(visit->netns_fd, config, plan, &job->err) < 0)
		return -1;
	visit->stale = false;
	return rules_slot_denials(visit->netns_fd, &visit->denials_since_ms, fabric_patrol_take_denial, visit,
				  &job->err);
}

/* All published ports went with the host's table. */
static void fabric_patrol_republish_all(struct patrol *patrol)
{
	for (unsigned number = 1; number <= CONFIG_SLOT_MAX; number++) {
		struct slot *slot = patrol->fabric->slots[number];

		if (!slot || !fabric_slot_is_live(slot) || !slot->plan || !slot->plan->plan->nat_count)
			continue;
		slot->republish = true;
		fabric_suspect_slot(slot);
	}
}

/* The live slot whose link on the host has this number; NULL: none. */
static const struct slot *fabric_patrol_slot_by_link(const struct fabric *fabric, int link)
{
	for (unsigned number = 1; number <= CONFIG_SLOT_MAX; number++) {
		const struct slot *slot = fabric->slots[number];

		if (slot && fabric_slot_is_live(slot) && slot->veth_index == link)
			return slot;
	}
	return NULL;
}

static void fabric_patrol_report(struct visit *visit, const struct slot *slot)
{
	const struct fabric_watcher *watcher = &visit->fabric->watcher;

	if (visit->repaired)
		fabric_report_repair(visit->fabric, visit->slot, fabric_trouble_tables(visit->slot));
	for (size_t i = 0; slot && fabric_slot_is_live(slot) && i < visit->denial_count; i++)
		watcher->denied(watcher->context, visit->slot, &visit->denials[i]);
	for (size_t i = 0; visit->links && i < visit->denial_count; i++) {
		slot = fabric_patrol_slot_by_link(visit->fabric, visit->links[i]);
		if (slot)
			watcher->denied(watcher->context, slot->number, &visit->denials[i]);
	}
}

/* Rules that could not be compared are a trouble, and denials that could not be read are read the next time. */
static void fabric_patrol_visit_failed(struct visit *visit, struct slot *slot)
{
	const struct err *err = &visit->job.err;

	if (slot)
		slot->republish |= visit->republish;
	if (err->code == ECANCELED)
		return;
	if (visit->job.run == fabric_patrol_run_host_denials)
		log_seldom(LOG_ERROR_LEVEL, "denials on the host not read", F_STR("error", err->text));
	else if (!visit->slot)
		fabric_trouble_begin_host(visit->fabric, TROUBLE_RULES, err);
	else if (slot && fabric_slot_is_live(slot))
		fabric_trouble_begin(slot, TROUBLE_RULES, err);
}

static void fabric_patrol_visit_succeeded(struct visit *visit, struct slot *slot)
{
	fabric_patrol_report(visit, slot);
	if (!visit->slot && visit->repaired)
		fabric_patrol_republish_all(visit->patrol);
	if (visit->job.run == fabric_patrol_run_host)
		fabric_trouble_end_host(visit->fabric, TROUBLE_RULES);
	else if (slot && fabric_slot_is_live(slot))
		fabric_trouble_end(slot, TROUBLE_RULES);
}

static void fabric_patrol_finish_visit(struct job *job)
{
	struct visit *visit = container_of(job, struct visit, job);
	struct patrol *patrol = visit->patrol;
	struct slot *slot = visit->slot ? fabric_slot_find(visit->fabric, visit->slot) : NULL;

	patrol->busy = false;
	if (slot) {
		slot->denials_since_ms = visit->denials_since_ms;
		slot->checked_generation = job->failed ? 0 : visit->generation;
		slot->checked_plan = visit->plan;
		slot->stale_flows = visit->stale;
	}
	if (visit->job.run == fabric_patrol_run_host) {
		patrol->host_stale_flows = visit->stale;
		patrol->wake_generation = fabric_wake_review_end(&visit->wake, visit->fabric, job->failed);
	}
	if (visit->job.run == fabric_patrol_run_host_denials)
		patrol->host_denials_since_ms = visit->denials_since_ms;
	if (job->failed)
		fabric_patrol_visit_failed(visit, slot);
	else
		fabric_patrol_visit_succeeded(visit, slot);
	slot_plan_share_release(visit->plan);
	if (visit->netns_fd >= 0)
		close(visit->netns_fd);
	free(visit->denials);
	free(visit->links);
	free(visit);
	fabric_patrol_go_on(patrol);
}

static struct visit *fabric_patrol_visit_new(struct patrol *patrol)
{
	struct visit *visit = calloc(1, sizeof(*visit));

	if (!visit)
		return NULL;
	visit->job.finish = fabric_patrol_finish_visit;
	visit->patrol = patrol;
	visit->fabric = patrol->fabric;
	visit->netns_fd = -1;
	return visit;
}

static void fabric_patrol_post(struct patrol *patrol, struct visit *visit)
{
	patrol->busy = true;
	fabric_job_thread_post(patrol->fabric->claimer, &visit->job, JOB_CLAIM);
}

static void fabric_patrol_visit_host(struct patrol *patrol)
{
	struct visit *visit = fabric_patrol_visit_new(patrol);
	struct err err;

	patrol->host_ms = clock_now_ms();
	fabric_suspect_routes(patrol->fabric, false);
	if (!visit) {
		err_set(&err, ENOMEM, "patrol");
		fabric_trouble_begin_host(patrol->fabric, TROUBLE_RULES, &err);
		return;
	}
	visit->job.run = fabric_patrol_run_host;
	visit->stale = patrol->host_stale_flows;
	fabric_wake_review_gather(&visit->wake, patrol->fabric, patrol->wake_generation);
	fabric_patrol_post(patrol, visit);
}

static void fabric_patrol_visit_host_denials(struct patrol *patrol)
{
	struct visit *visit = fabric_patrol_visit_new(patrol);

	patrol->host_denials_ms = clock_now_ms();
	if (!visit)
		return;
	visit->job.run = fabric_patrol_run_host_denials;
	visit->denials_since_ms = patrol->host_denials_since_ms;
	fabric_patrol_post(patrol, visit);
}

static void fabric_patrol_visit_slot(struct patrol *patrol, struct slot *slot)
{
	struct visit *visit = fabric_patrol_visit_new(patrol);
	struct err err;

	slot->patrolled_ms = clock_now_ms();
	if (!visit)
		err_set(&err, ENOMEM, "patrol");
	else
		visit->netns_fd = fabric_slot_open_netns(slot, &err);
	if (!visit || visit->netns_fd < 0) {
		free(visit);
		fabric_trouble_begin(slot, TROUBLE_RULES, &err);
		return;
	}
	visit->job.run = fabric_patrol_run_slot;
	visit->slot = slot->number;
	visit->plan = slot_plan_share_hold(slot->plan);
	visit->republish = slot->republish;
	visit->stale = slot->stale_flows;
	visit->denials_since_ms = slot->denials_since_ms;
	visit->generation = slot->checked_plan == slot->plan ? slot->checked_generation : 0;
	visit->counts = slot->counts;
	slot->republish = false;
	fabric_patrol_post(patrol, visit);
}

/* The next slot in turn whose last visit is long enough ago; NULL: none. */
static struct slot *fabric_patrol_next_due(struct patrol *patrol)
{
	uint64_t now = clock_now_ms();

	for (unsigned i = 0; i < CONFIG_SLOT_MAX; i++) {
		struct slot *slot;

		patrol->cursor = patrol->cursor % CONFIG_SLOT_MAX + 1;
		slot = patrol->fabric->slots[patrol->cursor];
		if (slot && fabric_slot_is_live(slot) && slot->plan && now - slot->patrolled_ms >= SLOT_EVERY_MS)
			return slot;
	}
	return NULL;
}

static unsigned fabric_patrol_slots_a_tick(const struct fabric *fabric)
{
	unsigned live = fabric_slot_count_live(&fabric->states);

	return live / ROUND_TICKS > SLOTS_A_TICK ? live / ROUND_TICKS : SLOTS_A_TICK;
}

/* Events report lost addresses and routes. Should one have been lost unnoticed, each slot is looked over in turn. */
static void fabric_patrol_look_over_one(struct patrol *patrol)
{
	for (unsigned i = 0; i < CONFIG_SLOT_MAX; i++) {
		struct slot *slot;

		patrol->repairs = patrol->repairs % CONFIG_SLOT_MAX + 1;
		slot = patrol->fabric->slots[patrol->repairs];
		if (slot && fabric_slot_look_over(slot))
			return;
	}
}

/* Not all that can be changed sends an event that a monitor can afford to hear: so all slots are looked over within ROUND_TICKS. */
static void fabric_patrol_look_over_some(struct patrol *patrol)
{
	const struct fabric *fabric = patrol->fabric;
	unsigned count = fabric_slot_count_live(&fabric->states) / ROUND_TICKS + 1;

	if (fabric_job_thread_waiting(fabric->builder, JOB_REFILL) > count)
		return;
	for (unsigned i = 0; i < count; i++)
		fabric_patrol_look_over_one(patrol);
}

/* The rules of all slots are due. */
static void fabric_patrol_make_all_due(struct fabric *fabric)
{
	for (unsigned number = 1; number <= CONFIG_SLOT_MAX; number++) {
		if (fabric->slots[number])
			fabric->slots[number]->patrolled_ms = 0;
	}
}

/*
 * Where events were lost, all slots are looked over, so many in a second and no more: who drowns a socket of ours with events gets no work
 * out of it.
 */
static void fabric_patrol_look_over_all(struct patrol *patrol)
{
	struct fabric *fabric = patrol->fabric;
	bool rules, links;

	if (timer_is_armed(&patrol->look_over))
		return;
	rules = fabric_suspects_take_all_rules(fabric->suspects);
	links = fabric_suspects_take_all_links(fabric->suspects);
	if (!rules && !links && !patrol->unlooked)
		return;
	timer_start(&patrol->look_over, LOOK_OVER_MS);
	if (rules) {
		fabric_patrol_make_all_due(fabric);
		patrol->budget = fabric_patrol_slots_a_tick(fabric);
	}
	if (links)
		patrol->unlooked = fabric_slot_count_live(&fabric->states);
	for (unsigned i = 0; patrol->unlooked && i < LOOKED_OVER; i++, patrol->unlooked--)
		fabric_patrol_look_over_one(patrol);
}

static void fabric_patrol_go_on(struct patrol *patrol)
{
	const struct fabric *fabric = patrol->fabric;
	struct slot *slot;

	if (!fabric->stopping && fabric_suspects_take_routes(fabric->suspects))
		fabric_host_routes_look(patrol->fabric);
	if (!fabric->stopping)
		fabric_patrol_look_over_all(patrol);
	while (!patrol->busy && !fabric->stopping) {
		if (fabric_suspects_take_host(fabric->suspects) || clock_now_ms() - patrol->host_ms >= HOST_EVERY_MS) {
			fabric_patrol_visit_host(patrol);
			continue;
		}
		if (clock_now_ms() - patrol->host_denials_ms >= HOST_DENIALS_EVERY_MS) {
			fabric_patrol_visit_host_denials(patrol);
			continue;
		}
		slot = fabric_suspects_take_slot(fabric->suspects);
		if (!slot && patrol->budget && (slot = fabric_patrol_next_due(patrol)))
			patrol->budget--;
		if (!slot)
			break;
		if (fabric_slot_is_live(slot) && slot->plan)
			fabric_patrol_visit_slot(patrol, slot);
	}
}

static void fabric_patrol_on_suspicion(void *context)
{
	fabric_patrol_go_on(context);
}

static void fabric_patrol_on_tick(void *context)
{
	struct patrol *patrol = context;

	timer_start(&patrol->timer, TICK_MS);
	fabric_relief_tick(patrol->fabric);
	fabric_host_facts_tick(patrol->fabric->host_facts);
	patrol->budget = fabric_patrol_slots_a_tick(patrol->fabric);
	fabric_patrol_look_over_some(patrol);
	fabric_patrol_go_on(patrol);
}

void fabric_patrol_free(struct patrol *patrol)
{
	if (!patrol)
		return;
	timer_free(&patrol->timer);
	timer_free(&patrol->look_over);
	free(patrol);
}

struct patrol *fabric_patrol_new(struct fabric *fabric, struct err *err)
{
	struct patrol *patrol = calloc(1, sizeof(*patrol));

	if (!patrol) {
		err_set(err, ENOMEM, "patrol");
		return NULL;
	}
	patrol->fabric = fabric;
	patrol->host_ms = clock_now_ms();
	patrol->host_stale_flows = true; /* the table may have been missing while no daemon ran */
	if (timer_init(&patrol->timer, fabric->base, fabric_patrol_on_tick, patrol, err) < 0 ||
	    timer_init(&patrol->look_over, fabric->base, fabric_patrol_on_suspicion, patrol, err) < 0) {
		fabric_patrol_free(patrol);
		return NULL;
	}
	timer_start(&patrol->timer, TICK_MS);
	fabric_suspects_notify(fabric->suspects, fabric_patrol_on_suspicion, patrol);
	return patrol;
}

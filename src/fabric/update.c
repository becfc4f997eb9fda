/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changes of a live slot, and questions about it. The claimer replaces its policy and published ports, and the builder its rates
 * where they differ. The claimer also ends its flows, and answers whether a packet would pass.
 *
 * The new plan is the slot's from the moment of the request, so that a later patrol compares with it. A failed update
 * restores the plan, and posts the job that restores the rules, in the same breath.
 */
#include "base/container_of.h"
#include "base/log.h"
#include "fabric/answer.h"
#include "fabric/rules/rules.h"
#include "fabric/slot/plan.h"
#include "fabric/slot/work.h"
#include "fabric/state.h"
#include "fabric/suspects.h"
#include "kernel/conntrack.h"
#include "kernel/kern_route.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The slot NUMBER if it is live, with a descriptor of its namespace; NULL with ERR, whose code is ENOENT if it is not live. */
static struct slot *fabric_slot_find_live(const struct fabric *fabric, unsigned number, int *netns_fd, struct err *err)
{
	struct slot *slot = fabric_slot_find(fabric, number);

	if (!slot || !fabric_slot_is_live(slot) || !slot->plan) {
		err_set(err, 0, "slot %u is still being made or taken over, or is taken apart already", number);
		err->code = ENOENT;
		return NULL;
	}
	*netns_fd = fabric_slot_open_netns(slot, err);
	return *netns_fd < 0 ? NULL : slot;
}

/* ---- update ---- */

struct update {
	struct job job;
	struct fabric *fabric;
	unsigned slot, mtu;
	struct plan_share *plan, *former;
	int netns_fd;
	fabric_done *done;
	void *context;
};

static int fabric_slot_put_rules(struct update *update, const struct fabric_plan *plan,
				 const struct fabric_plan *former, struct err *err)
{
	const struct config *config = update->fabric->config;
	bool same = slot_plan_same_egress(plan, former) && slot_plan_same_bandwidth(plan->bandwidth, former->bandwidth);

	/* Equal rules are left alone, for deleting the former ones waits for the kernel. */
	if (!same && rules_slot_update(update->netns_fd, config, plan, former, err) < 0)
		return -1;
	if ((slot_plan_wake(plan) || slot_plan_wake(former)) &&
	    rules_host_wake(config_layout_or_new(config, plan->layout), plan->slot, slot_plan_wake(former),
			    slot_plan_wake(plan), err) < 0)
		return -1;
	if (!plan->nat_count && !former->nat_count)
		return 0;
	return rules_host_publish(config_layout_or_new(config, plan->layout), plan->slot, plan->nat, plan->nat_count,
				  err);
}

static int fabric_slot_run_revert(struct job *job)
{
	struct update *update = container_of(job, struct update, job);
	struct err err;

	/* The caller gets the update's error; an error of restoring the former policy is for the log. */
	if (fabric_slot_put_rules(update, update->former->plan, update->plan->plan, &err) < 0)
		log_error("former policy not restored", F_UINT("slot", update->slot), F_STR("error", err.text));
	return -1;
}

static int fabric_slot_run_update_rules(struct job *job)
{
	struct update *update = container_of(job, struct update, job);

	return fabric_slot_put_rules(update, update->plan->plan, update->former->plan, &job->err);
}

static int fabric_slot_run_update_rate(struct job *job)
{
	struct update *update = container_of(job, struct update, job);
	struct slot_work work;

	slot_build_init(&work, update->fabric->config, fabric_job_host(job), update->plan->plan, update->mtu);
	work.netns_fd = update->netns_fd;
	return slot_build_fit(&work, update->former->plan, &job->err);
}

static void fabric_slot_restore_plan(const struct update *update)
{
	struct slot *slot = fabric_slot_find(update->fabric, update->slot);

	if (!slot || slot->plan != update->plan)
		return;
	slot_plan_share_release(slot->plan);
	slot->plan = slot_plan_share_hold(update->former);
	fabric_suspect_slot(slot);
	if (slot->plan->plan->paused)
		fabric_suspect_wake(slot->fabric);
}

static void fabric_slot_end_update(struct job *job)
{
	struct update *update = container_of(job, struct update, job);

	if (job->failed)
		fabric_slot_restore_plan(update);
	update->done(update->context, fabric_job_failure(job));
	close(update->netns_fd);
	slot_plan_share_release(update->plan);
	slot_plan_share_release(update->former);
	free(update);
}

static void fabric_slot_post_revert(struct update *update)
{
	update->job.run = fabric_slot_run_revert;
	update->job.finish = fabric_slot_end_update;
	fabric_job_thread_post(update->fabric->claimer, &update->job, JOB_CLAIM);
	/* Whoever looks at the rules from now on looks after the revert, and would repair the reverted to the failed plan. */
	fabric_slot_restore_plan(update);
}

static void fabric_slot_finish_update_rate(struct job *job)
{
	if (!job->failed || job->err.code == ECANCELED)
		fabric_slot_end_update(job);
	else
		fabric_slot_post_revert(container_of(job, struct update, job));
}

static void fabric_slot_finish_update_rules(struct job *job)
{
	struct update *update = container_of(job, struct update, job);

	if (job->failed && job->err.code != ECANCELED) {
		fabric_slot_post_revert(update);
		return;
	}
	if (job->failed || slot_plan_same_bandwidth(update->plan->plan->bandwidth, update->former->plan->bandwidth)) {
		fabric_slot_end_update(job);
		return;
	}
	job->run = fabric_slot_run_update_rate;
	job->finish = fabric_slot_finish_update_rate;
	fabric_job_thread_post(update->fabric->builder, job, JOB_CLAIM);
}

void fabric_update(struct fabric *fabric, const struct fabric_plan *plan, fabric_done *done, void *context)
{
	struct err err;
	int netns_fd = -1;
	struct slot *slot = fabric_slot_find_live(fabric, plan->slot, &netns_fd, &err);
	struct update *update = slot ? calloc(1, sizeof(*update)) : NULL;
	struct plan_share *share = update ? slot_plan_share_new(plan) : NULL;

	if (!share) {
		if (slot) {
			err_set(&err, ENOMEM, "slot %u", plan->slot);
			close(netns_fd);
		}
		free(update);
		fabric_answer(fabric, done, context, &err);
		return;
	}
	update->job.run = fabric_slot_run_update_rules;
	update->job.finish = fabric_slot_finish_update_rules;
	update->fabric = fabric;
	update->slot = slot->number;
	update->mtu = slot->mtu;
	update->netns_fd = netns_fd;
	update->done = done;
	update->context = context;
	/* These change in asleep.c alone. */
	share->plan->paused = slot->plan->plan->paused;
	share->plan->strict = slot->plan->plan->strict;
	share->plan->sleep = slot->plan->plan->sleep;
	update->plan = share;
	update->former = slot->plan;
	slot->plan = slot_plan_share_hold(share);
	fabric_job_thread_post(fabric->claimer, &update->job, JOB_CLAIM);
}

/* ---- flows and reachability ---- */

struct slot_question {
	struct job job;
	unsigned slot;
	const struct config *config;
	const struct config_layout *layout;
	int netns_fd;
	fabric_done *flushed;
	fabric_reach_done *reached;
	void *context;
	uint32_t destination;
	uint8_t ip_proto;
	uint16_t port;
	struct fabric_reach reach;
};

static int fabric_slot_run_flush(struct job *job)
{
	struct slot_question *question = container_of(job, struct slot_question, job);

	if (kern_conntrack_flush(question->netns_fd, &job->err) < 0)
		return -1;
	return kern_conntrack_flush_host(config_host_ip(question->layout, question->slot), &job->err);
}

int fabric_check_egress(const struct egress *egress, struct err *err)
{
	return rules_slot_policy_check(egress, err);
}

/* A packet that the namespace lets through is stopped at the host's own addresses, services apart. */
static int fabric_reach_judge_host(uint32_t destination, struct fabric_reach *reach, struct err *err)
{
	struct kern_rtnl host = KERN_RTNL_CLOSED;
	bool local;

	if (!reach->allowed || strcmp(reach->rule, "allow_host") == 0 || strcmp(reach->rule, "dns") == 0)
		return 0;
	if (kern_rtnl_open(&host, -1, NETLINK_ROUTE, err) < 0)
		return -1;
	int status = kern_route_is_local(&host, destination, &local, err);
	kern_rtnl_close(&host);
	if (status == 0 && local) {
		*reach = (struct fabric_reach){ .allowed = false };
		snprintf(reach->rule, sizeof(reach->rule), "%s", rules_name(FABRIC_RULE_HOST));
	}
	return status;
}

int fabric_reach_now(const struct config *config, const struct config_layout *layout, int netns_fd,
		     uint32_t destination, uint8_t ip_proto, uint16_t port, struct fabric_reach *reach, struct err *err)
{
	if (rules_slot_reach(netns_fd, config, layout, destination, ip_proto, port, reach, err) < 0)
		return -1;
	return fabric_reach_judge_host(destination, reach, err);
}

static int fabric_slot_run_reach(struct job *job)
{
	struct slot_question *question = container_of(job, struct slot_question, job);

	return fabric_reach_now(question->config, question->layout, question->netns_fd, question->destination,
				question->ip_proto, question->port, &question->reach, &job->err);
}

static void fabric_slot_finish_question(struct job *job)
{
	struct slot_question *question = container_of(job, struct slot_question, job);
	const struct err *err = fabric_job_failure(job);

	close(question->netns_fd);
	if (question->flushed)
		question->flushed(question->context, err);
	else
		question->reached(question->context, err ? NULL : &question->reach, err);
	free(question);
}

static void fabric_slot_refuse_question(struct fabric *fabric, const struct slot_question *form, const struct err *err)
{
	if (form->flushed)
		fabric_answer(fabric, form->flushed, form->context, err);
	else
		fabric_answer_reach(fabric, form->reached, form->context, err);
}

/* Posts the question, or, if it cannot be asked, the answer to it. */
static void fabric_slot_ask(struct fabric *fabric, const struct slot_question *form)
{
	struct slot_question *question;
	struct err err;
	int netns_fd = -1;

	if (!fabric_slot_find_live(fabric, form->slot, &netns_fd, &err)) {
		fabric_slot_refuse_question(fabric, form, &err);
		return;
	}
	question = malloc(sizeof(*question));
	if (!question) {
		close(netns_fd);
		err_set(&err, ENOMEM, "slot %u", form->slot);
		fabric_slot_refuse_question(fabric, form, &err);
		return;
	}
	*question = *form;
	question->config = fabric->config;
	question->layout = fabric_slot_find(fabric, form->slot)->layout;
	question->job.finish = fabric_slot_finish_question;
	question->netns_fd = netns_fd;
	fabric_job_thread_post(fabric->claimer, &question->job, JOB_CLAIM);
}

void fabric_flush_flows(struct fabric *fabric, unsigned slot, fabric_done *done, void *context)
{
	fabric_slot_ask(fabric,
			&(struct slot_question){
			    .job.run = fabric_slot_run_flush, .slot = slot, .flushed = done, .context = context });
}

void fabric_reach(struct fabric *fabric, unsigned slot, uint32_t destination, uint8_t ip_proto, uint16_t port,
		  fabric_reach_done *done, void *context)
{
	fabric_slot_ask(fabric, &(struct slot_question){
				    .job.run = fabric_slot_run_reach,
				    .slot = slot,
				    .reached = done,
				    .context = context,
				    .destination = destination,
				    .ip_proto = ip_proto,
				    .port = port,
				});
}

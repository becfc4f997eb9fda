/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * E2B's orchestrator, when it starts, takes each /run/netns/ns-N for a leak of its own, and removes it with veth-N and the host's routes,
 * whoever made them. DISABLE_STARTUP_RECLAIM=true keeps it from that. One that runs has started already: its next start is the harm.
 */
#include "health/doctor.h"

#include <stdio.h>
#include <string.h>

#define RECLAIM_TABLE "v2-host-firewall"

/* Whether slots have the names that it takes. */
static bool check_startup_reclaim_is_near(const struct health_facts *facts)
{
	for (size_t i = 0; i < facts->layouts.count; i++) {
		const struct health_layout *layout = &facts->layouts.items[i];
		bool there =
		    strcmp(layout->netns_dir, "/run/netns") == 0 || strcmp(layout->netns_dir, "/var/run/netns") == 0;
		if (there && strcmp(layout->netns_prefix, "ns-") == 0)
			return true;
	}
	return false;
}

/* Whether the rule compares a link's name with one of its links'. */
static bool check_startup_reclaim_is_of_veth(const struct ruleset_rule *rule)
{
	bool name = false;

	for (size_t i = 0; i < rule->steps.count; i++) {
		const struct ruleset_step *step = &rule->steps.items[i];
		if (step->kind == STEP_LOAD)
			name = step->field == FIELD_IIFNAME || step->field == FIELD_OIFNAME;
		if (name && step->kind == STEP_COMPARE && step->length >= 5 && memcmp(step->a, "veth-", 5) == 0)
			return true;
	}
	return false;
}

/* The first table of the orchestrator's, or of rules of iptables about its links; NULL: there is none. */
static const struct ruleset_chain *check_startup_reclaim_find_trace(const struct ruleset *ruleset)
{
	for (size_t i = 0; i < ruleset->count; i++) {
		const struct ruleset_chain *chain = &ruleset->items[i];
		bool iptables = chain->legacy || strcmp(chain->family, "ip") == 0;
		if (strcmp(chain->table, RECLAIM_TABLE) == 0)
			return chain;
		for (size_t j = 0; iptables && j < chain->rules.count; j++)
			if (check_startup_reclaim_is_of_veth(&chain->rules.items[j]))
				return chain;
	}
	return NULL;
}

static void check_startup_reclaim_explain(struct health_finding *finding, int pid)
{
	char whose[48] = "the orchestrator's unit";

	if (pid)
		snprintf(whose, sizeof(whose), "the unit of process %d", pid);
	health_why(finding,
		   "each time it starts it removes every /run/netns/ns-N with its veth and routes, weft's too: live "
		   "VMs lose their network");
	health_fix(finding,
		   "before its next start: DISABLE_STARTUP_RECLAIM=true in the environment of %s; or another [names] "
		   "netns_prefix for new slots",
		   whose);
}

/* Whether nothing of ORCHESTRATOR's is to be feared. TRACE may be NULL. */
static bool check_startup_reclaim_process(const struct health_orchestrator *orchestrator,
					  const struct ruleset_chain *trace, struct health_report *report)
{
	char seen[200] = "";

	if (orchestrator->disabled)
		return true;
	if (trace)
		snprintf(seen, sizeof(seen), "; rules of its kind are in table %s %s, chain %s", trace->family,
			 trace->table, trace->name);
	if (!orchestrator->visible) {
		struct health_finding *hidden =
		    health_add(report, "startup_reclaim", HEALTH_SKIPPED,
			       "process %d (orchestrator) runs, and its environment is not visible from here%s",
			       orchestrator->pid, seen);
		health_fix(hidden, "run weftctl doctor as root");
		return false;
	}
	check_startup_reclaim_explain(
	    health_add(report, "startup_reclaim", HEALTH_FAIL,
		       "process %d (orchestrator) runs without DISABLE_STARTUP_RECLAIM=true%s", orchestrator->pid,
		       seen),
	    orchestrator->pid);
	return false;
}

void check_startup_reclaim(const struct health_facts *facts, struct health_report *report)
{
	const struct ruleset_chain *trace = check_startup_reclaim_find_trace(&facts->ruleset);
	bool clear = true;

	if (!check_startup_reclaim_is_near(facts)) {
		health_add(report, "startup_reclaim", HEALTH_OK,
			   "no slot has a name that E2B's orchestrator takes for its own");
		return;
	}
	for (size_t i = 0; i < facts->orchestrators.count; i++)
		clear = check_startup_reclaim_process(&facts->orchestrators.items[i], trace, report) && clear;
	if (!clear)
		return;
	if (!facts->orchestrators.count && trace) {
		check_startup_reclaim_explain(
		    health_add(report, "startup_reclaim", HEALTH_WARN,
			       "E2B's orchestrator seems to have run here: table %s %s, chain %s", trace->family,
			       trace->table, trace->name),
		    0);
		return;
	}
	health_add(report, "startup_reclaim", HEALTH_OK, "%s",
		   facts->orchestrators.count ? "E2B's orchestrator runs, and leaves weft's slots alone"
					      : "no orchestrator of E2B's runs here");
}

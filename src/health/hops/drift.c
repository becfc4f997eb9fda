/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What others changed of the links that weft made, by the list that weftd repairs by. A hop asks when it has found no fault of its own.
 */
#include "fabric/slot/drift.h"

#include "base/err.h"
#include "health/walk.h"

#include <stdio.h>

/* Who decides instead of weft's route: "a route (static) by 10.0.0.1 on wg0, table 51820, by the policy rule 90". */
static void hop_drift_describe(const struct fabric_rival *rival, char *text, size_t size)
{
	char gateway[IPV4_TEXT_SIZE], rule[32];

	text[0] = '\0';
	if (rival->table) {
		snprintf(text, size, "a route (%s)", rival->protocol);
		if (rival->gateway) {
			hop_append(text, size, " by ");
			hop_append(text, size, addr_ipv4_format(rival->gateway, gateway));
		}
		if (rival->device[0]) {
			hop_append(text, size, " on ");
			hop_append(text, size, rival->device);
		}
		snprintf(rule, sizeof(rule), " in table %u", rival->table);
		hop_append(text, size, rule);
	}
	if (!rival->rule && !rival->table)
		snprintf(text, size, "something that neither a route nor a rule shows");
	if (rival->rule) {
		snprintf(rule, sizeof(rule), "%sthe policy rule %u", rival->table ? ", by " : "", rival->rule);
		hop_append(text, size, rule);
	}
}

static enum hop_status hop_drift_rival(struct walk *walk, struct hop *hop, const struct fabric_rival *rival)
{
	char who[160];

	hop_drift_describe(rival, who, sizeof(who));
	walk_cause(walk, "another program's %s takes the packets: %s", rival->rule ? "policy rule" : "route or address",
		   who);
	walk_next_step(walk, "remove it, or exclude weft's ranges from it; weftd leaves it alone, and reports its end");
	return hop_fail(hop, "%s: %s decides instead", rival->what, who);
}

enum hop_status hop_drift(struct walk *walk, struct hop *hop, enum slot_drift_scope scope)
{
	const struct diagnose_request *request = walk->request;
	struct slot_drift drift;
	struct err err;

	if (!request->plan)
		return HOP_OK;
	if (slot_drift_look(request->config, request->plan, walk->netns_fd, scope, &drift, &err) < 0)
		return hop_fail(hop, "%s", err.text);
	if (drift.rivalled && scope != DRIFT_VETH)
		return hop_drift_rival(walk, hop, &drift.rival);
	if (!drift.parts[0])
		return HOP_OK;
	walk_cause(walk, "somebody changed what weft made: %s", drift.parts);
	walk_next_step(walk,
		       "weftd puts it back by itself; look for `repaired` in its log, and for who changes links on "
		       "this host");
	return hop_fail(hop, "not as weft made it: %s", drift.parts);
}

bool hop_drift_is_foreign(struct walk *walk)
{
	const struct diagnose_request *request = walk->request;
	char foreign[SLOT_FOREIGN_SIZE];
	struct err ignored;

	if (!request->plan ||
	    slot_drift_find_foreign(request->config, request->plan, walk->netns_fd, foreign, &ignored) < 0 ||
	    !foreign[0])
		return false;
	walk_cause(walk, "something in %s that weft did not make may take the packets: %s", walk->netns, foreign);
	walk_next_step(walk, "look with: ip netns exec %s nft list ruleset; and remove it", walk->netns);
	return true;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rules must be those that weft makes, complete and unaltered.
 */
#include "fabric/rules/rules.h"
#include "base/err.h"
#include "health/walk.h"

enum hop_status hop_rules(struct walk *walk, struct hop *hop, bool subject_only)
{
	const struct diagnose_request *request = walk->request;
	bool host = false, slot = false;
	struct err err;

	hop_subject(hop, "inet weft on the host; inet weft, netdev weft in %s", walk->netns);
	if (subject_only)
		return HOP_SKIPPED;
	if (rules_host_check(request->config, &host, &err) < 0 ||
	    (request->plan && rules_slot_check(walk->netns_fd, request->config, request->plan, &slot, &err) < 0))
		return hop_fail(hop, "the rules cannot be read: %s", err.text);
	if (host && (slot || !request->plan))
		return hop_ok(hop, "present, unaltered");
	walk_cause(walk, "somebody flushed or edited the rules");
	walk_next_step(
	    walk, "weftd puts them back by itself; look for `repaired` in its log, and for who runs nft on this host");
	if (!host)
		return hop_fail(hop, "the host's table is missing or altered");
	return hop_fail(hop, "a table in %s is missing or altered", walk->netns);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HEALTH_POLICY_ROUTE_H
#define WEFT_HEALTH_POLICY_ROUTE_H

#include "inspect/inspect.h"

/* The table that answers when the host routes to an address. */
enum policy_route_answer {
	POLICY_ROUTE_MAIN,    /* the local, main or default table: weft's routes count */
	POLICY_ROUTE_PERHAPS, /* another table, for packets with some mark, port, user, ... */
	POLICY_ROUTE_OTHER,   /* another table */
};

/*
 * Walks the policy rules for DESTINATION (host order), from one of the host's own addresses. *RULE gets the rule that decides
 * against the main table, *ROUTE (may be NULL) the route it finds; both NULL for MAIN.
 */
enum policy_route_answer health_policy_route(const struct inspect_host *host, uint32_t destination,
					     const struct inspect_rule **rule, const struct inspect_route **route);

#endif

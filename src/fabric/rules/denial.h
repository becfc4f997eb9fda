/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_RULES_DENIAL_H
#define WEFT_FABRIC_RULES_DENIAL_H

/*
 * Reasons to deny: the marks and counters of our tables, and their names. Pure; any thread.
 */

#include "fabric/fabric.h"

#include <stdbool.h>
#include <stdint.h>

/* The reason for a denial: the mark with which it is recorded. */
enum rules_denial {
	RULES_DENIAL_PRIVATE = 1, /* an always-denied range */
	RULES_DENIAL_SANDBOX,     /* the ranges of sandboxes */
	RULES_DENIAL_POLICY,      /* the sandbox's deny list */
	RULES_DENIAL_INTERNET,    /* the sandbox has no internet */
	RULES_DENIAL_GATEWAY,     /* the namespace's own addresses */
	RULES_DENIAL_CONNECTIONS, /* too many flows at once */
	RULES_DENIAL_PROTOCOL,    /* neither TCP, UDP nor ICMP, and allowed by no name */
	RULES_DENIAL_ISOLATED,    /* the sandbox is isolated */
};

enum {
	RULES_DENIAL_KEPT_MS = 60 * 1000,
	/* The kernel's clock and ours are compared with some slack: better one report too many than one too few. */
	RULES_DENIAL_SLACK_MS = 10,
};

/* The counter of the last rule of RULES_CHAIN_POLICY, which exists only without internet. */
#define RULES_COUNTER_INTERNET "denied_internet"

/* The counter of the first rule of RULES_CHAIN_EGRESS of an isolated sandbox. */
#define RULES_COUNTER_ISOLATED "denied_isolated"

/* The name of the reason with this MARK, as `weftctl reach` shows it; "unknown" for any other mark. */
const char *rules_denial_name(uint32_t mark);

/* Sets the protocol of DENIAL by its number (IPPROTO_*). */
void rules_denial_name_proto(struct fabric_denial *denial, uint8_t proto);

/* Finds the rule whose packets the counter NAME counts. False: NAME is no such counter. */
bool rules_of_counter(const char *name, enum fabric_rule *rule);

#endif

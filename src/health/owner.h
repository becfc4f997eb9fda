/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HEALTH_OWNER_H
#define WEFT_HEALTH_OWNER_H

/*
 * Whose a link or a name is. A link that weft keeps apart by its group may be a live sandbox's, so no advice takes one out of it unless
 * it is certain to be none. Pure; any thread.
 */

#include "health/facts.h"

enum health_claim {
	CLAIM_FOREIGN, /* no sandbox can be behind it */
	CLAIM_UNCLEAR, /* it has the looks of a sandbox's, and not all of them */
	CLAIM_WEFT,    /* a sandbox's or a spare slot's */
};

/* What the names, the group, the MAC, the alias and the kind of LINK say. */
enum health_claim health_claim_link(const struct health_facts *facts, const struct inspect_link *link);

/* The layout by which NAME is a veth's of a slot, whose number *SLOT gets; NULL and 0: none. */
const struct health_layout *health_layout_of_link(const struct health_facts *facts, const char *name, unsigned *slot);

/* Whether a namespace NAME in the folder DIR has the name of a slot. */
bool health_is_netns_of_slot(const struct health_facts *facts, const char *dir, const char *name);

/* Whether some layout marks its links by GROUP. */
bool health_is_group_used(const struct health_facts *facts, uint32_t group);

#endif

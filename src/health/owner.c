/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host end of a slot is a veth whose other end is in another namespace. It has the slot's name and MAC, and weft's alias once a
 * sandbox was registered. Others can change all but the kind, so one of these looks is enough to keep hands off.
 */
#include "health/owner.h"

#include "config/config.h"

#include <string.h>

const struct health_layout *health_layout_of_link(const struct health_facts *facts, const char *name, unsigned *slot)
{
	*slot = 0;
	for (size_t i = 0; i < facts->layouts.count; i++) {
		*slot = config_slot_in_name(facts->layouts.items[i].veth_prefix, name);
		if (*slot)
			return &facts->layouts.items[i];
	}
	return NULL;
}

bool health_is_netns_of_slot(const struct health_facts *facts, const char *dir, const char *name)
{
	for (size_t i = 0; i < facts->layouts.count; i++)
		if (strcmp(facts->layouts.items[i].netns_dir, dir) == 0 &&
		    config_slot_in_name(facts->layouts.items[i].netns_prefix, name))
			return true;
	return false;
}

bool health_is_group_used(const struct health_facts *facts, uint32_t group)
{
	for (size_t i = 0; i < facts->layouts.count; i++)
		if (facts->layouts.items[i].link_group == group)
			return true;
	return false;
}

/* Whether MAC is that of the host end of some slot. */
static bool health_is_slot_mac(const struct mac *mac)
{
	struct mac wanted = config_veth_host_mac((unsigned)(mac->octets[4] << 8 | mac->octets[5]));

	return addr_mac_equal(mac, &wanted);
}

enum health_claim health_claim_link(const struct health_facts *facts, const struct inspect_link *link)
{
	unsigned slot;
	bool aliased = strncmp(link->alias, "weft:", strlen("weft:")) == 0;

	health_layout_of_link(facts, link->name, &slot);
	if (strcmp(link->kind, "veth") != 0)
		return CLAIM_FOREIGN;
	if (aliased || (slot && health_is_slot_mac(&link->mac)))
		return CLAIM_WEFT;
	if (link->peer_elsewhere &&
	    (health_is_slot_mac(&link->mac) || slot || health_is_group_used(facts, link->group)))
		return CLAIM_UNCLEAR;
	return CLAIM_FOREIGN;
}

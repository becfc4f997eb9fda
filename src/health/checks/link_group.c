/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weft's rules match by link group, so any other link in a group of weft's is treated as a sandbox, and a sandbox's link outside it is
 * not. Nothing else than the group keeps a hostile guest from the host: a link leaves it on no advice that is not certain.
 */
#include "config/config.h"
#include "health/doctor.h"
#include "health/owner.h"

#include <stdio.h>
#include <string.h>

enum { NAMESAKES_TOLD = 4 };

/* A stranger in the group. */
static void check_link_group_stranger(const struct inspect_link *link, bool unclear, struct health_report *report)
{
	struct health_finding *finding =
	    health_add(report, "link_group", unclear ? HEALTH_WARN : HEALTH_FAIL,
		       unclear ? "link %s is in group %u, and no slot of weft's is known behind it"
			       : "link %s is in group %u and is none of weft's",
		       link->name, link->group);

	health_why(finding,
		   "weft's rules treat its packets as a hostile guest's: cut off from the host and from private "
		   "networks%s",
		   unclear ? ". A sandbox of an earlier configuration may live there" : "");
	if (unclear)
		health_fix(finding,
			   "leave it in the group until it is certain that no VM runs behind it: ip -d link show dev "
			   "%s; whoever else made it is to use another group",
			   link->name);
	else
		health_fix(finding, "ip link set dev %s group default, or another [names] link_group", link->name);
}

/*
 * A sandbox's link outside all known groups. LAYOUT is by its name, NULL where that is none. Without a daemon its group may be a former
 * configuration's, by which the kernel's rules keep it apart: then nothing but weftd may change it.
 */
static void check_link_group_outside(const struct health_facts *facts, const struct inspect_link *link,
				     const struct health_layout *layout, struct health_report *report)
{
	const char *sandbox = strchr(link->alias, ':');
	bool certain = facts->said.all_layouts || !link->group;
	struct health_finding *finding =
	    health_add(report, "link_group", certain ? HEALTH_FAIL : HEALTH_WARN,
		       "link %s of %s%s is in group %u, and weft's is %u", link->name, sandbox ? "sandbox " : "a slot",
		       sandbox ? sandbox + 1 : "", link->group, (layout ? layout : facts->layouts.items)->link_group);

	health_why(finding, "%s",
		   certain
		       ? "weft's rules do not see its packets, so the guest behind it is kept from nothing by them"
		       : "unless that is the group of an earlier configuration, weft's rules do not see its packets");
	if (certain && layout)
		health_fix(finding, "ip link set dev %s group %u (weftd does so by itself while it runs)", link->name,
			   layout->link_group);
	else
		health_fix(finding,
			   "leave it as it is, and: systemctl start weftd; it knows the group that the link was made "
			   "with, and puts it back");
}

/* A foreign link that has the name of SLOT. */
static void check_link_group_namesake(const struct inspect_link *link, unsigned slot, struct health_report *report)
{
	struct health_finding *finding =
	    health_add(report, "link_group", HEALTH_WARN,
		       "link %s (%s, group %u) has the name of slot %u's and is none "
		       "of weft's",
		       link->name, link->kind[0] ? link->kind : "no kind", link->group, slot);

	health_why(finding, "weft never touches it, and makes no sandbox in slot %u while it is there", slot);
	health_fix(
	    finding,
	    "let the program that made it use another name, or choose another [names] veth_prefix for new slots");
}

/* What was seen of all links. */
struct link_group_tally {
	size_t ours, faults;
	size_t namesakes; /* of which some are told */
};

static void check_link_group_link(const struct health_facts *facts, const struct inspect_link *link,
				  struct link_group_tally *tally, struct health_report *report)
{
	unsigned slot = 0;
	enum health_claim claim = health_claim_link(facts, link);
	const struct health_layout *layout = health_layout_of_link(facts, link->name, &slot);
	bool inside = health_is_group_used(facts, link->group);

	if (inside && claim == CLAIM_WEFT) {
		tally->ours++;
		return;
	}
	if (!inside && !layout && claim != CLAIM_WEFT)
		return;
	tally->faults++;
	if (inside)
		check_link_group_stranger(link, claim == CLAIM_UNCLEAR, report);
	else if (claim == CLAIM_WEFT)
		check_link_group_outside(facts, link, layout, report);
	else if (tally->namesakes++ < NAMESAKES_TOLD)
		check_link_group_namesake(link, slot, report);
}

/* "1874", or "1874 and 2000" */
static void check_link_group_list(const struct health_facts *facts, char *text, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < facts->layouts.count && used < size; i++) {
		bool again = false;
		for (size_t j = 0; j < i; j++)
			again |= facts->layouts.items[j].link_group == facts->layouts.items[i].link_group;
		if (!again)
			used += (size_t)snprintf(text + used, size - used, "%s%u", used ? " and " : "",
						 facts->layouts.items[i].link_group);
	}
}

void check_link_group(const struct health_facts *facts, struct health_report *report)
{
	struct link_group_tally tally = { 0 };
	char groups[160] = "";

	for (size_t i = 0; i < facts->host.link_count; i++)
		check_link_group_link(facts, &facts->host.links[i], &tally, report);
	if (tally.namesakes > NAMESAKES_TOLD) {
		struct health_finding *finding = health_add(report, "link_group", HEALTH_WARN,
							    "%zu more links have names of slots and are none of weft's",
							    tally.namesakes - NAMESAKES_TOLD);
		health_why(finding,
			   "weft never touches them, and makes no sandboxes in those slots while they are there");
		health_fix(finding, "choose another [names] veth_prefix for new slots");
	}
	if (tally.faults)
		return;
	check_link_group_list(facts, groups, sizeof(groups));
	health_add(report, "link_group", HEALTH_OK, "group %s has %zu links, all of weft's", groups, tally.ours);
}

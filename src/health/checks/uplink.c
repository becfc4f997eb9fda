/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's way to the internet, which sandboxes take too. A host may be meant to have none; then [egress] internet = no says so, and
 * until it does, a missing way is worth a look and no fault. Each table that some policy rule names may have the way.
 */
#include "config/config.h"
#include "health/doctor.h"
#include "health/owner.h"

#include <linux/rtnetlink.h>
#include <string.h>

enum { SOMEWHERE = 0x01010101 };

/* The best way that was found, the better the later. */
enum check_uplink_way {
	UPLINK_NONE,
	UPLINK_OTHER, /* by another link than [addresses] uplink */
	UPLINK_DEAD,  /* by a link without a carrier */
	UPLINK_GOOD,
};

static bool check_uplink_is_consulted(const struct inspect_host *host, uint32_t table)
{
	for (size_t i = 0; i < host->rule_count; i++)
		if (host->rules[i].table == table)
			return true;
	return false;
}

static const struct inspect_link *check_uplink_link(const struct inspect_host *host, unsigned index)
{
	for (size_t i = 0; i < host->link_count; i++)
		if (host->links[i].index == index)
			return &host->links[i];
	return NULL;
}

/* The way by ROUTE, by its link; NULL where it has several, of which nothing is known. */
static enum check_uplink_way check_uplink_judge(const struct health_facts *facts, const struct inspect_route *route,
						const struct inspect_link *link)
{
	const char *uplink = facts->config->addresses.uplink;

	if (route->type != RTN_UNICAST || !addr_cidr4_contains(&route->destination, SOMEWHERE) ||
	    !check_uplink_is_consulted(&facts->host, route->table))
		return UPLINK_NONE;
	if (!link)
		return UPLINK_GOOD;
	if (uplink && strcmp(uplink, link->name) != 0)
		return UPLINK_OTHER;
	return link->carrier ? UPLINK_GOOD : UPLINK_DEAD;
}

/* The best way; *NAME: its link. */
static enum check_uplink_way check_uplink_find(const struct health_facts *facts, const char **name)
{
	enum check_uplink_way best = UPLINK_NONE;

	*name = "several links";
	for (size_t i = 0; i < facts->host.route_count; i++) {
		const struct inspect_route *route = &facts->host.routes[i];
		const struct inspect_link *link = check_uplink_link(&facts->host, route->link);
		enum check_uplink_way way = check_uplink_judge(facts, route, link);

		if (way <= best)
			continue;
		best = way;
		*name = link ? link->name : "several links";
	}
	return best;
}

/* A link that may have had the default route until it went down, because the kernel drops a link's routes then; NULL: there is none. */
static const struct inspect_link *check_uplink_suspect(const struct health_facts *facts)
{
	const char *uplink = facts->config->addresses.uplink;

	for (size_t i = 0; i < facts->host.link_count; i++) {
		const struct inspect_link *link = &facts->host.links[i];
		bool may_be = uplink
				  ? strcmp(link->name, uplink) == 0
				  : health_claim_link(facts, link) == CLAIM_FOREIGN && strcmp(link->name, "lo") != 0 &&
					strcmp(link->kind, "bridge") != 0 && strcmp(link->kind, "tun") != 0;
		if (may_be && !link->carrier)
			return link;
	}
	return NULL;
}

static void check_uplink_tell_down(struct health_report *report, const struct inspect_link *link)
{
	struct health_finding *finding =
	    health_add(report, "uplink", HEALTH_WARN, "the host has no default route, and %s %s", link->name,
		       link->up ? "has no carrier" : "is down");

	health_why(finding,
		   "the kernel takes a link's routes away when it goes down, and without a default route no packet of "
		   "the sandboxes gets beyond this host");
	health_fix(
	    finding,
	    "ip link set %s up, look at its cable or peer, and then ip route add default via GATEWAY; if this host "
	    "is to have no way out: [egress] internet = no",
	    link->name);
}

static void check_uplink_tell_none(const struct health_facts *facts, struct health_report *report)
{
	const struct inspect_link *suspect = check_uplink_suspect(facts);

	if (!facts->config->egress.internet) {
		health_add(report, "uplink", HEALTH_OK,
			   "no default route, and sandboxes have no internet by default ([egress] internet = no)");
		return;
	}
	if (suspect) {
		check_uplink_tell_down(report, suspect);
		return;
	}
	struct health_finding *finding = health_add(report, "uplink", HEALTH_WARN, "the host has no default route");
	health_why(finding, "sandboxes may reach the internet, and no packet of theirs gets beyond this host");
	health_fix(finding, "ip route add default via GATEWAY; if this host is to have no way out: "
			    "[egress] internet = no");
}

static void check_uplink_tell_other(const struct health_facts *facts, struct health_report *report, const char *name)
{
	const char *uplink = facts->config->addresses.uplink;
	struct health_finding *finding = health_add(
	    report, "uplink", HEALTH_WARN, "other hosts are reached by %s, and [addresses] uplink = %s", name, uplink);

	health_why(finding, "weft translates for %s alone, so packets of sandboxes leave by %s untranslated", uplink,
		   name);
	health_fix(finding, "[addresses] uplink = %s, or leave it out; or: ip route replace default via GATEWAY dev %s",
		   name, uplink);
}

static void check_uplink_tell_dead(struct health_report *report, const char *name)
{
	struct health_finding *finding =
	    health_add(report, "uplink", HEALTH_WARN, "the default route leads by %s, which has no carrier", name);

	health_why(finding, "neither the host's packets nor the sandboxes' get beyond it");
	health_fix(finding, "look at the cable or the peer; ip link show %s", name);
}

void check_uplink(const struct health_facts *facts, struct health_report *report)
{
	const char *name;

	if (!facts->host.link_count) {
		health_add(report, "uplink", HEALTH_SKIPPED, "links and routes are not visible from here");
		return;
	}
	switch (check_uplink_find(facts, &name)) {
	case UPLINK_NONE:
		check_uplink_tell_none(facts, report);
		break;
	case UPLINK_OTHER:
		check_uplink_tell_other(facts, report, name);
		break;
	case UPLINK_DEAD:
		check_uplink_tell_dead(report, name);
		break;
	case UPLINK_GOOD:
		health_add(report, "uplink", HEALTH_OK, "other hosts are reached by %s", name);
		break;
	}
}

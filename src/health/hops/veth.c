/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pair of links between the host and the namespace. Both ends must exist, be up and marked, and have their addresses.
 */
#include "base/err.h"
#include "health/walk.h"
#include "inspect/look.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static bool hop_veth_has_address(const struct inspect_look_link *link, uint32_t ip)
{
	for (size_t i = 0; i < link->address_count; i++)
		if (link->addresses[i].ip == ip)
			return true;
	return false;
}

/* The host's end has lost our mark, or never had it: weftd tells the one from the other, and takes no link for its own without. */
static enum hop_status hop_veth_unmarked(struct walk *walk, struct hop *hop, const char *name, unsigned group)
{
	unsigned ours = walk->request->layout->link_group;

	if (walk->request->failure != FAILURE_LINK)
		return hop_fail(hop, "%s is not in link group %u", name, ours);
	return hop_fail(hop, "%s is not weft's own: another program made it, in link group %u and not %u", name, group,
			ours);
}

/* Checks one end. HOP_OK, or HOP has the fault, and the walk its cause unless the end could not be looked at. */
static enum hop_status hop_veth_check_end(struct walk *walk, struct hop *hop, int netns_fd, const char *name,
					  uint32_t ip)
{
	const char *where = netns_fd < 0 ? "" : walk->netns, *slash = netns_fd < 0 ? "" : "/";
	struct inspect_look_link link;
	struct err err;
	char text[IPV4_TEXT_SIZE];

	if (inspect_look_link(netns_fd, name, &link, &err) < 0)
		return hop_fail(hop, "%s%s%s: %s", where, slash, name, err.text);
	walk_cause(walk, "somebody changed or removed a link that weft made");
	walk_next_step(walk, "weftd puts it back by itself; look for `repaired` in its log");
	if (!link.exists)
		return hop_fail(hop, "%s%s%s does not exist", where, slash, name);
	if (netns_fd < 0 && link.group != walk->request->layout->link_group)
		return hop_veth_unmarked(walk, hop, name, link.group);
	if (!link.up)
		return hop_fail(hop, "%s%s%s is down", where, slash, name);
	if (!hop_veth_has_address(&link, ip))
		return hop_fail(hop, "%s%s%s lacks its address %s", where, slash, name, addr_ipv4_format(ip, text));
	walk_clear(walk);
	return HOP_OK;
}

static enum hop_status hop_veth_no_namespace(struct walk *walk, struct hop *hop)
{
	if (walk->netns_error != ENOENT)
		return hop_fail(hop, "the namespace %s: %s", walk->netns, strerror(walk->netns_error));
	walk_cause(walk, "somebody removed the namespace %s", walk->netns);
	walk_next_step(walk, "weftd puts it back by itself; look for `repaired` in its log");
	return hop_fail(hop, "the namespace %s does not exist", walk->netns);
}

/* Whether the name leads to another namespace than that which the sandbox has. */
static bool hop_veth_namespace_is_other(const struct walk *walk)
{
	const struct fabric_plan *plan = walk->request->plan;
	struct stat found;

	return plan && plan->netns_inode && fstat(walk->netns_fd, &found) == 0 &&
	       (found.st_ino != plan->netns_inode || found.st_dev != plan->netns_device);
}

static enum hop_status hop_veth_other_namespace(struct walk *walk, struct hop *hop)
{
	walk_cause(walk, "somebody put another namespace under the name %s", walk->netns);
	walk_next_step(walk, "have the program that bound %s remove that name; weftd puts its own back by itself",
		       walk->netns);
	return hop_fail(hop, "%s leads to another namespace", walk->netns);
}

enum hop_status hop_veth(struct walk *walk, struct hop *hop, bool subject_only)
{
	unsigned slot = walk->request->slot;
	char text[IPV4_TEXT_SIZE];
	enum hop_status status;

	hop_subject(hop, "%s <-> %s/eth0", walk->veth, walk->netns);
	if (subject_only)
		return HOP_SKIPPED;
	if (walk->netns_fd < 0)
		return hop_veth_no_namespace(walk, hop);
	if (hop_veth_namespace_is_other(walk))
		return hop_veth_other_namespace(walk, hop);
	status = hop_veth_check_end(walk, hop, -1, walk->veth, config_veth_host_ip(walk->request->layout, slot));
	if (status == HOP_OK)
		status = hop_veth_check_end(walk, hop, walk->netns_fd, "eth0",
					    config_veth_guest_ip(walk->request->layout, slot));
	if (status == HOP_OK)
		status = hop_drift(walk, hop, DRIFT_VETH);
	if (status == HOP_OK)
		return hop_ok(hop, "up, %s/31",
			      addr_ipv4_format(config_veth_host_ip(walk->request->layout, slot), text));
	return status;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process with root's rights may have left anything in the namespace of a sandbox. Dumps of the whole namespace are compared with what
 * the list explains; the rest is foreign. Its settings are compared with those of a new namespace, which are read once. Where a setting
 * of the host that new namespaces inherit has changed since, slots are not used again, and that is all the harm.
 */
#include "fabric/slot/clean.h"

#include "base/err.h"
#include "base/netns.h"
#include "fabric/rules/rules.h"
#include "kernel/address.h"
#include "kernel/kern_route.h"
#include "kernel/legacy_tables.h"
#include "kernel/link.h"
#include "kernel/namespace.h"
#include "kernel/neighbour.h"
#include "kernel/policy_rule.h"
#include "kernel/qdisc.h"
#include "kernel/sysctl.h"
#include "nft/read.h"
#include "nft/table.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/rtnetlink.h>
#include <linux/xfrm.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DUMP_TRIES = 10 };

/* A walk over one dump. */
struct slot_clean {
	const struct slot_list *list;
	int indices[PLACES];
	char foreign[SLOT_FOREIGN_SIZE]; /* the first that was found; "": none */
};

#define slot_clean_note(clean, ...)                                                                                    \
	do {                                                                                                           \
		if (!(clean)->foreign[0])                                                                              \
			snprintf((clean)->foreign, sizeof((clean)->foreign), __VA_ARGS__);                             \
	} while (0)

/* ---- links ---- */

static void slot_clean_take_link(void *context, const struct kern_link *link)
{
	struct slot_clean *clean = context;

	for (int place = PLACE_LO; place < PLACES; place++) {
		const struct slot_list_link *wanted = &clean->list->links[place];

		if (strcmp(link->name, wanted->name) != 0 || strcmp(link->kind, wanted->kind) != 0)
			continue;
		clean->indices[place] = link->index;
		if (link->xdp)
			slot_clean_note(clean, "XDP program on %s", link->name);
		return;
	}
	slot_clean_note(clean, "link %s", link->name);
}

/* ---- addresses ---- */

static bool slot_clean_is_loopback(const struct cidr4 *cidr)
{
	return cidr->length >= 8 && cidr->ip >> 24 == 127;
}

static void slot_clean_take_address(void *context, const struct kern_address *address)
{
	struct slot_clean *clean = context;
	char text[CIDR4_TEXT_SIZE];

	if (address->index == clean->indices[PLACE_LO] && slot_clean_is_loopback(&address->cidr) &&
	    address->cidr.length == 8)
		return;
	for (int place = PLACE_ETH0; place < PLACES; place++) {
		if (address->index == clean->indices[place] &&
		    addr_cidr4_equal(&address->cidr, &clean->list->links[place].address))
			return;
	}
	slot_clean_note(clean, "address %s", addr_cidr4_format(&address->cidr, text));
}

/* ---- routes ---- */

/* A route that the kernel makes for an address of ours: to it, its network or a broadcast of that. */
static bool slot_clean_comes_with_address(const struct slot_clean *clean, const struct kern_route_entry *entry)
{
	if (entry->protocol != RTPROT_KERNEL || entry->gateway ||
	    (entry->type != RTN_UNICAST && entry->type != RTN_LOCAL && entry->type != RTN_BROADCAST) ||
	    entry->table != (entry->type == RTN_UNICAST ? RT_TABLE_MAIN : RT_TABLE_LOCAL))
		return false;
	if (entry->index == clean->indices[PLACE_LO])
		return slot_clean_is_loopback(&entry->to);
	for (int place = PLACE_ETH0; place < PLACES; place++) {
		const struct cidr4 *wanted = &clean->list->links[place].address;

		if (entry->index == clean->indices[place] && entry->to.length >= wanted->length &&
		    addr_cidr4_contains(wanted, entry->to.ip))
			return true;
	}
	return false;
}

static void slot_clean_take_route(void *context, const struct kern_route_entry *entry)
{
	struct slot_clean *clean = context;
	const struct kern_route *world = &clean->list->to_world;
	char text[CIDR4_TEXT_SIZE];

	if (slot_clean_comes_with_address(clean, entry))
		return;
	if (!entry->to.length && entry->protocol == KERN_ROUTE_PROTOCOL && entry->gateway == world->gateway &&
	    entry->index == clean->indices[PLACE_ETH0] && entry->table == RT_TABLE_MAIN && entry->type == RTN_UNICAST)
		return;
	slot_clean_note(clean, "route to %s in table %u", addr_cidr4_format(&entry->to, text), entry->table);
}

static void slot_clean_take_policy(void *context, const struct kern_policy_rule *rule)
{
	if (!kern_policy_rule_is_ordinary(rule))
		slot_clean_note((struct slot_clean *)context, "policy rule %u", rule->preference);
}

/* ---- neighbours, IPsec ---- */

struct slot_clean_neighbours {
	struct slot_clean *clean;
	const struct slot_list_link *link;
};

static void slot_clean_take_neighbour(void *context, uint32_t ip, const struct mac *mac)
{
	const struct slot_clean_neighbours *of = context;
	char text[IPV4_TEXT_SIZE];

	if (of->link->has_neighbour && ip == of->link->neighbour && addr_mac_equal(mac, &of->link->neighbour_mac))
		return;
	slot_clean_note(of->clean, "permanent neighbour %s of %s", addr_ipv4_format(ip, text), of->link->name);
}

static int slot_clean_take_transform(const struct nlmsghdr *header, void *context)
{
	if (header->nlmsg_type >= XFRM_MSG_BASE)
		slot_clean_note((struct slot_clean *)context, "IPsec policy or state");
	return 0;
}

/* ---- tables ---- */

static void slot_clean_take_table(void *context, uint8_t family, const char *name)
{
	static const char *const families[] = {
		[NFPROTO_INET] = "inet",     [NFPROTO_IPV4] = "ip",       [NFPROTO_ARP] = "arp",
		[NFPROTO_NETDEV] = "netdev", [NFPROTO_BRIDGE] = "bridge", [NFPROTO_IPV6] = "ip6"
	};
	bool known = family < sizeof(families) / sizeof(families[0]) && families[family];

	if (strcmp(name, NFT_TABLE_NAME) != 0 || (family != NFPROTO_INET && family != NFPROTO_NETDEV))
		slot_clean_note((struct slot_clean *)context, "nft table %s %s", known ? families[family] : "?", name);
}

/* ---- one dump after the other ---- */

static int slot_clean_dump_links(struct slot_work *work, struct slot_clean *clean, struct err *err)
{
	return kern_link_dump(&work->inside, slot_clean_take_link, clean, err);
}

static int slot_clean_dump_addresses(struct slot_work *work, struct slot_clean *clean, struct err *err)
{
	return kern_address_dump(&work->inside, 0, slot_clean_take_address, clean, err);
}

static int slot_clean_dump_routes(struct slot_work *work, struct slot_clean *clean, struct err *err)
{
	return kern_route_dump(&work->inside, slot_clean_take_route, clean, err);
}

static int slot_clean_dump_neighbours(struct slot_work *work, struct slot_clean *clean, struct err *err)
{
	for (int place = PLACE_LO; place < PLACES; place++) {
		struct slot_clean_neighbours of = { clean, &clean->list->links[place] };

		if (kern_neighbour_dump(&work->inside, clean->indices[place], slot_clean_take_neighbour, &of, err) < 0)
			return -1;
	}
	return 0;
}

static int slot_clean_dump_policy(struct slot_work *work, struct slot_clean *clean, struct err *err)
{
	if (kern_policy_rule_dump(&work->inside, AF_INET, slot_clean_take_policy, clean, err) < 0)
		return -1;
	return kern_policy_rule_dump(&work->inside, AF_INET6, slot_clean_take_policy, clean, err);
}

/* A kernel without IPsec has no such socket, and no such policy. */
static int slot_clean_look_transforms(struct slot_work *work, struct slot_clean *clean, struct err *err)
{
	static const int kinds[] = { XFRM_MSG_GETPOLICY, XFRM_MSG_GETSA };
	struct kern_rtnl xfrm;
	int result = 0;

	if (kern_rtnl_open(&xfrm, work->netns_fd, NETLINK_XFRM, err) < 0)
		return err->code == EPROTONOSUPPORT ? 0 : -1;
	for (size_t i = 0; result == 0 && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		result = kern_rtnl_ask(&xfrm, kern_rtnl_message(kinds[i], NLM_F_DUMP, NULL, 0),
				       slot_clean_take_transform, clean, err, "IPsec");
	kern_rtnl_close(&xfrm);
	return result;
}

static int slot_clean_dump_tables(struct slot_work *work, struct slot_clean *clean, struct err *err)
{
	return nft_read_tables(work->netns_fd, slot_clean_take_table, clean, err);
}

static int slot_clean_look_ingress(struct slot_work *work, struct slot_clean *clean, struct err *err)
{
	bool found;

	for (int place = PLACE_LO; place < PLACES; place++) {
		const char *name = clean->list->links[place].name;

		if (kern_qdisc_find_ingress(&work->inside, clean->indices[place], name, &found, err) < 0)
			return -1;
		if (found)
			slot_clean_note(clean, "ingress queue discipline of %s", name);
	}
	if (kern_qdisc_find_ingress(work->host, work->veth_index, "veth", &found, err) < 0)
		return -1;
	if (found)
		slot_clean_note(clean, "ingress queue discipline of the veth");
	return 0;
}

static int slot_clean_look_legacy(struct slot_work *work, struct slot_clean *clean, struct err *err)
{
	char name[64];

	if (kern_legacy_tables_find(work->netns_fd, name, sizeof(name), err) < 0)
		return -1;
	if (name[0])
		slot_clean_note(clean, "table of %s", name);
	return 0;
}

/* ---- settings ---- */

enum { SETTING_SIZE = 64 };

/* Of a namespace as a whole: those that change how packets of a tenant, or the forwarder's dials, fare. */
static const char *const settings[] = {
	"net/ipv4/ip_forward",
	"net/ipv4/ip_default_ttl",
	"net/ipv4/ip_local_port_range",
	"net/ipv4/ip_local_reserved_ports",
	"net/ipv4/ip_nonlocal_bind",
	"net/ipv4/ip_no_pmtu_disc",
	"net/ipv4/ip_forward_use_pmtu",
	"net/ipv4/ip_early_demux",
	"net/ipv4/icmp_echo_ignore_all",
	"net/ipv4/icmp_echo_ignore_broadcasts",
	"net/ipv4/icmp_ratelimit",
	"net/ipv4/icmp_ratemask",
	"net/ipv4/fwmark_reflect",
	"net/ipv4/tcp_fwmark_accept",
	"net/ipv4/tcp_tw_reuse",
	"net/ipv4/tcp_rmem",
	"net/ipv4/tcp_wmem",
	"net/ipv4/tcp_syn_retries",
	"net/ipv4/tcp_retries2",
	"net/ipv4/tcp_keepalive_time",
	"net/ipv4/tcp_ecn",
	"net/ipv4/tcp_sack",
	"net/ipv4/tcp_timestamps",
	"net/ipv4/tcp_window_scaling",
	"net/ipv4/tcp_congestion_control",
	"net/ipv4/tcp_mtu_probing",
	"net/ipv4/tcp_base_mss",
	"net/ipv4/tcp_min_snd_mss",
	"net/ipv4/udp_early_demux",
	"net/ipv4/conf/all/forwarding",
	"net/ipv4/conf/all/rp_filter",
	"net/ipv4/conf/all/route_localnet",
	"net/ipv4/conf/all/proxy_arp",
	"net/ipv4/conf/all/arp_ignore",
	"net/ipv4/conf/all/arp_announce",
	"net/ipv4/conf/all/arp_filter",
	"net/ipv4/conf/all/accept_local",
	"net/ipv4/conf/all/accept_redirects",
	"net/ipv4/conf/all/accept_source_route",
	"net/ipv4/conf/all/src_valid_mark",
	"net/ipv6/conf/all/disable_ipv6",
	"net/ipv6/conf/all/forwarding",
	"net/ipv6/conf/default/disable_ipv6",
	"net/netfilter/nf_conntrack_acct",
	"net/netfilter/nf_conntrack_checksum",
	"net/netfilter/nf_conntrack_tcp_be_liberal",
	"net/netfilter/nf_conntrack_tcp_loose",
	"net/netfilter/nf_conntrack_tcp_no_window_check",
	"net/netfilter/nf_conntrack_tcp_timeout_established",
	"net/netfilter/nf_conntrack_tcp_timeout_syn_sent",
	"net/netfilter/nf_conntrack_tcp_timeout_time_wait",
	"net/netfilter/nf_conntrack_udp_timeout",
	"net/netfilter/nf_conntrack_udp_timeout_stream",
	"net/netfilter/nf_conntrack_generic_timeout",
	"net/netfilter/nf_conntrack_icmp_timeout",
};

/* Of a link, under net/ipv4/conf/. A new link has those of `default`. */
static const char *const link_settings[] = {
	"rp_filter",
	"route_localnet",
	"proxy_arp",
	"arp_ignore",
	"arp_announce",
	"arp_filter",
	"arp_accept",
	"arp_notify",
	"accept_local",
	"accept_source_route",
	"log_martians",
	"tag",
	"disable_policy",
	"disable_xfrm",
	"bc_forwarding",
	"proxy_arp_pvlan",
	"src_valid_mark",
	"drop_gratuitous_arp",
	"medium_id",
	"shared_media",
	"secure_redirects",
	"ignore_routes_with_linkdown",
	"drop_unicast_in_l2_multicast",
};

enum {
	SETTINGS = sizeof(settings) / sizeof(settings[0]),
	LINK_SETTINGS = sizeof(link_settings) / sizeof(link_settings[0]),
};

/* The settings of a namespace. */
struct slot_clean_settings {
	char of_all[SETTINGS][SETTING_SIZE];
	char of_link[PLACES][LINK_SETTINGS][SETTING_SIZE];
};

static int slot_clean_read_link(const char *name, char values[LINK_SETTINGS][SETTING_SIZE], struct err *err)
{
	char path[128];

	for (int i = 0; i < LINK_SETTINGS; i++) {
		snprintf(path, sizeof(path), "net/ipv4/conf/%s/%s", name, link_settings[i]);
		if (kern_sysctl_read(path, values[i], SETTING_SIZE, err) < 0)
			return -1;
	}
	return 0;
}

/* In the namespace already. A BARE one has no links yet, and those get the settings of `default`. */
static int slot_clean_read_here(const struct slot_list *list, bool bare, struct slot_clean_settings *values,
				struct err *err)
{
	for (int i = 0; i < SETTINGS; i++)
		if (kern_sysctl_read(settings[i], values->of_all[i], SETTING_SIZE, err) < 0)
			return -1;
	for (int place = PLACE_LO; place < PLACES; place++) {
		const char *name = bare && place != PLACE_LO ? "default" : list->links[place].name;

		if (slot_clean_read_link(name, values->of_link[place], err) < 0)
			return -1;
	}
	return 0;
}

static int slot_clean_read(int netns_fd, const struct slot_list *list, bool bare, struct slot_clean_settings *values,
			   struct err *err)
{
	int result;

	memset(values, 0, sizeof(*values));
	if (base_netns_enter(netns_fd, err) < 0)
		return -1;
	result = slot_clean_read_here(list, bare, values, err);
	base_netns_leave();
	return result;
}

/* Reads the settings that a namespace has from its making; the builder's alone. */
static int slot_clean_learn(const struct slot_list *list, struct slot_clean_settings *values, struct err *err)
{
	int fd = kern_namespace_make(err), result;

	if (fd < 0)
		return -1;
	result = slot_clean_read(fd, list, true, values, err);
	close(fd);
	return result;
}

static void slot_clean_compare_settings(struct slot_clean *clean, const struct slot_clean_settings *is,
					const struct slot_clean_settings *wanted)
{
	for (int i = 0; i < SETTINGS; i++)
		if (strcmp(is->of_all[i], wanted->of_all[i]) != 0)
			slot_clean_note(clean, "setting %s is \"%s\", not \"%s\"", settings[i], is->of_all[i],
					wanted->of_all[i]);
	for (int place = PLACE_LO; place < PLACES; place++)
		for (int i = 0; i < LINK_SETTINGS; i++)
			if (strcmp(is->of_link[place][i], wanted->of_link[place][i]) != 0)
				slot_clean_note(clean, "setting net/ipv4/conf/%s/%s is \"%s\", not \"%s\"",
						clean->list->links[place].name, link_settings[i], is->of_link[place][i],
						wanted->of_link[place][i]);
}

static int slot_clean_look_settings(struct slot_work *work, struct slot_clean *clean, struct err *err)
{
	static struct slot_clean_settings wanted; /* the builder's, once it is KNOWN */
	static bool known;
	struct slot_clean_settings is;

	if (!known && slot_clean_learn(&work->list, &wanted, err) < 0)
		return -1;
	known = true;
	if (slot_clean_read(work->netns_fd, &work->list, false, &is, err) < 0)
		return -1;
	slot_clean_compare_settings(clean, &is, &wanted);
	return 0;
}

typedef int slot_clean_do(struct slot_work *work, struct slot_clean *clean, struct err *err);

/* One look; again, where something changed meanwhile. */
static int slot_clean_do_look(slot_clean_do *look, struct slot_work *work, struct slot_clean *clean, struct err *err)
{
	int result = -1;

	for (int try = 0; try < DUMP_TRIES && result < 0; try++) {
		result = look(work, clean, err);
		if (result < 0 && err->code != EINTR)
			break;
	}
	return result;
}

static int slot_clean_look_at_objects(struct slot_work *work, struct slot_clean *clean, struct err *err)
{
	static slot_clean_do *const looks[] = {
		slot_clean_dump_links,      slot_clean_dump_addresses, slot_clean_dump_routes,
		slot_clean_dump_neighbours, slot_clean_dump_policy,    slot_clean_look_transforms,
		slot_clean_look_ingress,    slot_clean_dump_tables,    slot_clean_look_legacy,
	};

	for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]) && !clean->foreign[0]; i++)
		if (slot_clean_do_look(looks[i], work, clean, err) < 0)
			return -1;
	return 0;
}

int slot_clean_find(struct slot_work *work, char foreign[static SLOT_FOREIGN_SIZE], struct err *err)
{
	struct slot_clean clean = { .list = &work->list };
	int result = slot_clean_look_at_objects(work, &clean, err);

	snprintf(foreign, SLOT_FOREIGN_SIZE, "%s", clean.foreign);
	return result;
}

int slot_clean_check(struct slot_work *work, struct err *err)
{
	struct slot_clean clean = { .list = &work->list };

	if (slot_clean_look_at_objects(work, &clean, err) < 0)
		return -1;
	if (!clean.foreign[0] && slot_clean_do_look(slot_clean_look_settings, work, &clean, err) < 0)
		return -1;
	return clean.foreign[0] ? err_set(err, 0, "foreign: %s", clean.foreign) : 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two things decide how these messages look. A namespace is entered only where an object has to be made; looking and deleting
 * go by IFLA_TARGET_NETNSID from a socket of the host, which pins nothing. And per-device settings travel as IFLA_AF_SPEC where
 * they can. The kernel ignores IFLA_AF_SPEC in the message that makes a link, so it comes in one of its own.
 *
 * libnl-route builds the changes. It has no word for IFLA_TARGET_NETNSID, IFLA_CARRIER_DOWN_COUNT and IFLA_TUN_*, and its struct
 * rtnl_link would be filled with all that a link has for the few fields wanted here: so links are read attribute by attribute.
 */
#include "kernel/link.h"

#include "base/err.h"
#include "kernel/nl_object.h"
#include "kernel/sysctl.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/route/link.h>
#include <netlink/route/link/inet.h>
#include <netlink/route/link/veth.h>
#include <stdio.h>
#include <string.h>

_Static_assert(KERN_LINK_NAME_SIZE == IFNAMSIZ, "a link's name");

KERN_NL_CLEANUP(rtnl_link);

/* ---- Reading ---- */

static void kern_link_copy_string(char *to, size_t size, const struct nlattr *attr)
{
	size_t length = attr ? (size_t)nla_len(attr) : 0;

	if (length >= size)
		length = size - 1;
	if (length)
		memcpy(to, nla_data(attr), length);
	to[length] = '\0';
}

static uint8_t kern_link_u8(const struct nlattr *attr, uint8_t otherwise)
{
	return attr && nla_len(attr) >= (int)sizeof(uint8_t) ? nla_get_u8(attr) : otherwise;
}

static void kern_link_parse_kind(const struct nlattr *linkinfo, struct kern_link *info)
{
	const struct nlattr *table[IFLA_INFO_MAX + 1];
	const struct nlattr *tun[IFLA_TUN_MAX + 1];

	kern_rtnl_nested(linkinfo, table, IFLA_INFO_MAX + 1);
	kern_link_copy_string(info->kind, sizeof(info->kind), table[IFLA_INFO_KIND]);
	if (strcmp(info->kind, "tun") != 0 || !table[IFLA_INFO_DATA])
		return;
	kern_rtnl_nested(table[IFLA_INFO_DATA], tun, IFLA_TUN_MAX + 1);
	info->tap = kern_link_u8(tun[IFLA_TUN_TYPE], 0) == IFF_TAP;
	info->owner = kern_rtnl_u32(tun[IFLA_TUN_OWNER], (uint32_t)-1);
	info->owner_group = kern_rtnl_u32(tun[IFLA_TUN_GROUP], (uint32_t)-1);
}

/* One setting of an array of u32 in ATTR, whose first entry is the setting with the number FIRST. 0 where there is none. */
static uint32_t kern_link_setting(const struct nlattr *attr, int number, int first)
{
	const uint32_t *values = attr ? nla_data(attr) : NULL;

	return attr && nla_len(attr) >= (int)((unsigned)(number - first + 1) * sizeof(*values)) ? values[number - first]
												: 0;
}

/* IFLA_AF_SPEC > AF_INET > IFLA_INET_CONF has the devconf number 1 first, and IFLA_AF_SPEC > AF_INET6 > IFLA_INET6_CONF number 0. */
static void kern_link_parse_settings(const struct nlattr *spec, struct kern_link *info)
{
	const struct nlattr *families[AF_INET6 + 1];
	const struct nlattr *inet[IFLA_INET_MAX + 1];
	const struct nlattr *inet6[IFLA_INET6_MAX + 1];

	kern_rtnl_nested(spec, families, AF_INET6 + 1);
	if (families[AF_INET]) {
		kern_rtnl_nested(families[AF_INET], inet, IFLA_INET_MAX + 1);
		info->forwarding = kern_link_setting(inet[IFLA_INET_CONF], IPV4_DEVCONF_FORWARDING, 1);
		info->redirects = kern_link_setting(inet[IFLA_INET_CONF], IPV4_DEVCONF_SEND_REDIRECTS, 1) ||
				  kern_link_setting(inet[IFLA_INET_CONF], IPV4_DEVCONF_ACCEPT_REDIRECTS, 1);
	}
	if (families[AF_INET6]) {
		kern_rtnl_nested(families[AF_INET6], inet6, IFLA_INET6_MAX + 1);
		info->ipv6 =
		    inet6[IFLA_INET6_CONF] && !kern_link_setting(inet6[IFLA_INET6_CONF], DEVCONF_DISABLE_IPV6, 0);
	}
}

static bool kern_link_has_xdp(const struct nlattr *attr)
{
	const struct nlattr *table[IFLA_XDP_MAX + 1];

	kern_rtnl_nested(attr, table, IFLA_XDP_MAX + 1);
	return kern_link_u8(table[IFLA_XDP_ATTACHED], XDP_ATTACHED_NONE) != XDP_ATTACHED_NONE;
}

int kern_link_parse(const struct nlmsghdr *header, struct kern_link *info)
{
	const struct nlattr *table[IFLA_MAX + 1];
	const struct ifinfomsg *link = nlmsg_data(header);

	if (nlmsg_datalen(header) < (int)sizeof(*link) || link->ifi_family != AF_UNSPEC)
		return -1;
	memset(info, 0, sizeof(*info));
	kern_rtnl_attributes(header, sizeof(*link), table, IFLA_MAX + 1);
	info->index = link->ifi_index;
	info->flags = link->ifi_flags;
	kern_link_copy_string(info->name, sizeof(info->name), table[IFLA_IFNAME]);
	kern_link_copy_string(info->alias, sizeof(info->alias), table[IFLA_IFALIAS]);
	kern_link_copy_string(info->qdisc, sizeof(info->qdisc), table[IFLA_QDISC]);
	info->group = kern_rtnl_u32(table[IFLA_GROUP], 0);
	info->mtu = kern_rtnl_u32(table[IFLA_MTU], 0);
	info->carrier = kern_link_u8(table[IFLA_CARRIER], 0) != 0;
	info->carrier_downs = kern_rtnl_u32(table[IFLA_CARRIER_DOWN_COUNT], 0);
	info->owner = (uid_t)-1;
	info->owner_group = (gid_t)-1;
	info->master = (int)kern_rtnl_u32(table[IFLA_MASTER], 0);
	info->peer_index = (int)kern_rtnl_u32(table[IFLA_LINK], 0);
	if (table[IFLA_LINK_NETNSID]) {
		info->peer_nsid = (int)kern_rtnl_u32(table[IFLA_LINK_NETNSID], 0);
		info->has_peer_nsid = info->peer_nsid >= 0;
	}
	if (table[IFLA_ADDRESS] && nla_len(table[IFLA_ADDRESS]) == (int)sizeof(info->mac.octets))
		memcpy(info->mac.octets, nla_data(table[IFLA_ADDRESS]), sizeof(info->mac.octets));
	if (table[IFLA_LINKINFO])
		kern_link_parse_kind(table[IFLA_LINKINFO], info);
	if (table[IFLA_AF_SPEC])
		kern_link_parse_settings(table[IFLA_AF_SPEC], info);
	if (table[IFLA_XDP])
		info->xdp = kern_link_has_xdp(table[IFLA_XDP]);
	return 0;
}

static int kern_link_take_one(const struct nlmsghdr *header, void *context)
{
	return header->nlmsg_type == RTM_NEWLINK ? kern_link_parse(header, context) : 0;
}

int kern_link_get(struct kern_rtnl *rtnl, int nsid, const char *name, struct kern_link *info, struct err *err)
{
	const struct ifinfomsg body = { 0 };
	struct nl_msg *message = kern_rtnl_message(RTM_GETLINK, 0, &body, sizeof(body));

	memset(info, 0, sizeof(*info));
	message = kern_rtnl_put_string(message, IFLA_IFNAME, name);
	if (nsid != KERN_LINK_HERE)
		message = kern_rtnl_put_u32(message, IFLA_TARGET_NETNSID, (uint32_t)nsid);
	return kern_rtnl_ask(rtnl, message, kern_link_take_one, info, err, "link %s", name);
}

int kern_link_get_index(struct kern_rtnl *rtnl, int index, struct kern_link *info, struct err *err)
{
	const struct ifinfomsg body = { .ifi_index = index };
	struct nl_msg *message = kern_rtnl_message(RTM_GETLINK, 0, &body, sizeof(body));

	memset(info, 0, sizeof(*info));
	return kern_rtnl_ask(rtnl, message, kern_link_take_one, info, err, "link number %d", index);
}

struct kern_link_walk {
	void (*take)(void *context, const struct kern_link *info);
	void *context;
};

static int kern_link_take_each(const struct nlmsghdr *header, void *context)
{
	struct kern_link_walk *walk = context;
	struct kern_link info;

	if (header->nlmsg_type != RTM_NEWLINK)
		return 0;
	if (kern_link_parse(header, &info) < 0)
		return -1;
	walk->take(walk->context, &info);
	return 0;
}

int kern_link_dump(struct kern_rtnl *rtnl, void (*take)(void *context, const struct kern_link *info), void *context,
		   struct err *err)
{
	const struct ifinfomsg body = { 0 };
	struct kern_link_walk walk = { .take = take, .context = context };
	struct nl_msg *message = kern_rtnl_message(RTM_GETLINK, NLM_F_DUMP, &body, sizeof(body));

	return kern_rtnl_ask(rtnl, message, kern_link_take_each, &walk, err, "links");
}

/* ---- Making and deleting ---- */

/* libnl cuts a name that is too long, and says nothing. */
static int kern_link_check_name(const char *name, struct err *err)
{
	return strlen(name) < IFNAMSIZ ? 0 : err_set(err, ENAMETOOLONG, "link %s", name);
}

/* 0, or -1: no memory. */
static int kern_link_put_end(struct rtnl_link *link, const char *name, const struct mac *mac, unsigned mtu)
{
	AUTO_NL(nl_addr) *address = kern_nl_mac(mac);

	if (!address)
		return -1;
	rtnl_link_set_name(link, name);
	rtnl_link_set_addr(link, address);
	rtnl_link_set_mtu(link, mtu);
	return 0;
}

/* NULL: no memory. */
static struct nl_msg *kern_link_build_veth(const struct kern_veth *veth)
{
	AUTO_NL(rtnl_link) *link = rtnl_link_veth_alloc();
	AUTO_NL(rtnl_link) *peer = link ? rtnl_link_veth_get_peer(link) : NULL;
	struct nl_msg *message;

	if (!peer || kern_link_put_end(link, veth->name, &veth->mac, veth->mtu) < 0 ||
	    kern_link_put_end(peer, veth->peer, &veth->peer_mac, veth->mtu) < 0)
		return NULL;
	rtnl_link_set_group(link, veth->group);
	rtnl_link_set_ns_fd(peer, veth->peer_fd);
	return rtnl_link_build_add_request(link, NLM_F_CREATE | NLM_F_EXCL, &message) < 0 ? NULL : message;
}

int kern_link_make_veth(struct kern_rtnl *rtnl, const struct kern_veth *veth, struct err *err)
{
	if (kern_link_check_name(veth->name, err) < 0 || kern_link_check_name(veth->peer, err) < 0)
		return -1;
	return kern_rtnl_send(rtnl, kern_link_build_veth(veth), err, "link %s", veth->name);
}

static struct nl_msg *kern_link_build_removal(const char *name)
{
	AUTO_NL(rtnl_link) *link = rtnl_link_alloc();
	struct nl_msg *message;

	if (!link)
		return NULL;
	rtnl_link_set_name(link, name);
	return rtnl_link_build_delete_request(link, &message) < 0 ? NULL : message;
}

int kern_link_delete(struct kern_rtnl *rtnl, int nsid, const char *name, struct err *err)
{
	struct nl_msg *message;

	if (kern_link_check_name(name, err) < 0)
		return -1;
	message = kern_link_build_removal(name);
	if (nsid != KERN_LINK_HERE)
		message = kern_rtnl_put_u32(message, IFLA_TARGET_NETNSID, (uint32_t)nsid);
	return kern_rtnl_send(rtnl, message, err, "link %s: deleting", name);
}

/* ---- Changing ---- */

/* A link of which only the number is known, to put changes into. NULL: no memory. */
static struct rtnl_link *kern_link_numbered(int index)
{
	struct rtnl_link *link = rtnl_link_alloc();

	if (link)
		rtnl_link_set_ifindex(link, index);
	return link;
}

/* The message that makes CHANGES to the link of their number. NULL: no memory. */
static struct nl_msg *kern_link_build_change(struct rtnl_link *changes)
{
	struct nl_msg *message;

	/* The link as it was gives the number alone, which the changes have too. */
	if (rtnl_link_build_change_request(changes, changes, 0, &message) < 0)
		return NULL;
	/* libnl-route leaves ifi_change at 0, by which the kernel understands all flags. */
	struct ifinfomsg *body = nlmsg_data(nlmsg_hdr(message));
	body->ifi_change = body->ifi_flags;
	return message;
}

static struct nl_msg *kern_link_build_up(int index, bool forwarding)
{
	AUTO_NL(rtnl_link) *link = kern_link_numbered(index);

	if (!link)
		return NULL;
	rtnl_link_set_flags(link, IFF_UP);
	if (forwarding && (rtnl_link_inet_set_conf(link, IPV4_DEVCONF_FORWARDING, 1) < 0 ||
			   rtnl_link_inet_set_conf(link, IPV4_DEVCONF_SEND_REDIRECTS, 0) < 0 ||
			   rtnl_link_inet_set_conf(link, IPV4_DEVCONF_ACCEPT_REDIRECTS, 0) < 0))
		return NULL;
	return kern_link_build_change(link);
}

int kern_link_up_forwarding(struct kern_rtnl *rtnl, int index, const char *name, struct err *err)
{
	return kern_rtnl_send(rtnl, kern_link_build_up(index, true), err, "link %s", name);
}

int kern_link_up(struct kern_rtnl *rtnl, int index, const char *name, struct err *err)
{
	return kern_rtnl_send(rtnl, kern_link_build_up(index, false), err, "link %s", name);
}

int kern_link_no_ipv6(const char *name, struct err *err)
{
	char path[64];

	snprintf(path, sizeof(path), "net/ipv6/conf/%s/disable_ipv6", name);
	/* A host without IPv6 has no such setting, and needs none. */
	return kern_sysctl_write(path, "1", err) < 0 && err->code != ENOENT ? -1 : 0;
}

static struct nl_msg *kern_link_build_mac_mtu(int index, const struct mac *mac, unsigned mtu)
{
	AUTO_NL(rtnl_link) *link = kern_link_numbered(index);
	AUTO_NL(nl_addr) *address = kern_nl_mac(mac);

	if (!link || !address)
		return NULL;
	rtnl_link_set_addr(link, address);
	rtnl_link_set_mtu(link, mtu);
	return kern_link_build_change(link);
}

int kern_link_set_mac_mtu(struct kern_rtnl *rtnl, int index, const char *name, const struct mac *mac, unsigned mtu,
			  struct err *err)
{
	return kern_rtnl_send(rtnl, kern_link_build_mac_mtu(index, mac, mtu), err, "link %s: MAC and MTU %u", name,
			      mtu);
}

static struct nl_msg *kern_link_build_announce(int index, bool announce)
{
	AUTO_NL(rtnl_link) *link = kern_link_numbered(index);

	if (!link || rtnl_link_inet_set_conf(link, IPV4_DEVCONF_ARP_NOTIFY, announce) < 0)
		return NULL;
	return kern_link_build_change(link);
}

int kern_link_announce(struct kern_rtnl *rtnl, int index, const char *name, bool announce, struct err *err)
{
	return kern_rtnl_send(rtnl, kern_link_build_announce(index, announce), err, "link %s: announcements", name);
}

/* A change of flags and attributes by hand: libnl has no word for "no master", and names no link that it renames. */
static struct nl_msg *kern_link_build_plain(int index, unsigned flags, unsigned change)
{
	const struct ifinfomsg body = { .ifi_index = index, .ifi_flags = flags, .ifi_change = change };

	return kern_rtnl_message(RTM_NEWLINK, 0, &body, sizeof(body));
}

int kern_link_set_group(struct kern_rtnl *rtnl, int index, const char *name, uint32_t group, struct err *err)
{
	struct nl_msg *message = kern_rtnl_put_u32(kern_link_build_plain(index, 0, 0), IFLA_GROUP, group);

	return kern_rtnl_send(rtnl, message, err, "link %s: group %u", name, group);
}

int kern_link_release(struct kern_rtnl *rtnl, int index, const char *name, struct err *err)
{
	struct nl_msg *message = kern_rtnl_put_u32(kern_link_build_plain(index, 0, 0), IFLA_MASTER, 0);

	return kern_rtnl_send(rtnl, message, err, "link %s: taking it out of its bridge", name);
}

int kern_link_use_arp(struct kern_rtnl *rtnl, int index, const char *name, struct err *err)
{
	return kern_rtnl_send(rtnl, kern_link_build_plain(index, 0, IFF_NOARP), err, "link %s: ARP", name);
}

int kern_link_rename(struct kern_rtnl *rtnl, int index, const char *name, struct err *err)
{
	struct nl_msg *message = kern_rtnl_put_string(kern_link_build_plain(index, 0, 0), IFLA_IFNAME, name);

	if (kern_rtnl_send(rtnl, message, err, "link %s: its name", name) == 0)
		return 0;
	if (err->code != EBUSY)
		return -1;
	message = kern_rtnl_put_string(kern_link_build_plain(index, 0, IFF_UP), IFLA_IFNAME, name);
	/* The kernel renames before it changes flags, so that this takes two messages. */
	if (kern_rtnl_send(rtnl, kern_link_build_plain(index, 0, IFF_UP), err, "link %s: down", name) < 0) {
		nlmsg_free(message);
		return -1;
	}
	return kern_rtnl_send(rtnl, message, err, "link %s: its name", name);
}

static struct nl_msg *kern_link_build_alias(int index, const char *alias)
{
	AUTO_NL(rtnl_link) *link = kern_link_numbered(index);

	if (!link)
		return NULL;
	rtnl_link_set_ifalias(link, alias);
	/* It is copied, and without memory NULL would be put into the message. */
	return rtnl_link_get_ifalias(link) ? kern_link_build_change(link) : NULL;
}

int kern_link_set_alias(struct kern_rtnl *rtnl, int index, const char *name, const char *alias, struct err *err)
{
	return kern_rtnl_send(rtnl, kern_link_build_alias(index, alias), err, "link %s: alias", name);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two things decide how these messages look. A namespace is entered only where an object has to be made; looking and deleting
 * go by IFLA_TARGET_NETNSID from a socket of the host, which pins nothing. And per-device settings travel as IFLA_AF_SPEC where
 * they can. The kernel ignores IFLA_AF_SPEC in the message that makes a link, so it comes in one of its own.
 */
#include "kernel/link.h"

#include "base/err.h"
#include "kernel/sysctl.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

static void copy_string(char *to, size_t size, const struct nlattr *attr)
{
	size_t length = attr ? mnl_attr_get_payload_len(attr) : 0;

	if (length >= size)
		length = size - 1;
	if (length)
		memcpy(to, mnl_attr_get_payload(attr), length);
	to[length] = '\0';
}

static uint32_t get_u32(const struct nlattr *attr, uint32_t otherwise)
{
	return attr && mnl_attr_get_payload_len(attr) >= sizeof(uint32_t) ? mnl_attr_get_u32(attr) : otherwise;
}

static uint8_t get_u8(const struct nlattr *attr, uint8_t otherwise)
{
	return attr && mnl_attr_get_payload_len(attr) >= sizeof(uint8_t) ? mnl_attr_get_u8(attr) : otherwise;
}

static void parse_kind(const struct nlattr *linkinfo, struct link_info *info)
{
	const struct nlattr *table[IFLA_INFO_MAX + 1];
	const struct nlattr *tun[IFLA_TUN_MAX + 1];

	rtnl_nested(linkinfo, table, IFLA_INFO_MAX + 1);
	copy_string(info->kind, sizeof(info->kind), table[IFLA_INFO_KIND]);
	if (strcmp(info->kind, "tun") != 0 || !table[IFLA_INFO_DATA])
		return;
	rtnl_nested(table[IFLA_INFO_DATA], tun, IFLA_TUN_MAX + 1);
	info->tap = get_u8(tun[IFLA_TUN_TYPE], 0) == IFF_TAP;
	info->owner = get_u32(tun[IFLA_TUN_OWNER], (uint32_t)-1);
	info->owner_group = get_u32(tun[IFLA_TUN_GROUP], (uint32_t)-1);
}

/* IFLA_AF_SPEC > AF_INET > IFLA_INET_CONF is an array of u32, the first entry at 0 for the devconf number 1. */
static bool parse_forwarding(const struct nlattr *spec)
{
	const struct nlattr *families[AF_INET + 1];
	const struct nlattr *inet[IFLA_INET_MAX + 1];
	const uint32_t *values;

	rtnl_nested(spec, families, AF_INET + 1);
	if (!families[AF_INET])
		return false;
	rtnl_nested(families[AF_INET], inet, IFLA_INET_MAX + 1);
	if (!inet[IFLA_INET_CONF] ||
	    mnl_attr_get_payload_len(inet[IFLA_INET_CONF]) < IPV4_DEVCONF_FORWARDING * sizeof(*values))
		return false;
	values = mnl_attr_get_payload(inet[IFLA_INET_CONF]);
	return values[IPV4_DEVCONF_FORWARDING - 1] != 0;
}

int link_parse(const struct nlmsghdr *header, struct link_info *info)
{
	const struct nlattr *table[IFLA_MAX + 1];
	const struct ifinfomsg *link = mnl_nlmsg_get_payload(header);

	if (mnl_nlmsg_get_payload_len(header) < sizeof(*link))
		return -1;
	memset(info, 0, sizeof(*info));
	rtnl_attributes(header, sizeof(*link), table, IFLA_MAX + 1);
	info->index = link->ifi_index;
	info->flags = link->ifi_flags;
	copy_string(info->name, sizeof(info->name), table[IFLA_IFNAME]);
	copy_string(info->alias, sizeof(info->alias), table[IFLA_IFALIAS]);
	copy_string(info->qdisc, sizeof(info->qdisc), table[IFLA_QDISC]);
	info->group = get_u32(table[IFLA_GROUP], 0);
	info->mtu = get_u32(table[IFLA_MTU], 0);
	info->carrier = get_u8(table[IFLA_CARRIER], 0) != 0;
	info->carrier_downs = get_u32(table[IFLA_CARRIER_DOWN_COUNT], 0);
	info->owner = (uid_t)-1;
	info->owner_group = (gid_t)-1;
	info->peer_index = (int)get_u32(table[IFLA_LINK], 0);
	if (table[IFLA_LINK_NETNSID]) {
		info->peer_nsid = (int)get_u32(table[IFLA_LINK_NETNSID], 0);
		info->has_peer_nsid = info->peer_nsid >= 0;
	}
	if (table[IFLA_ADDRESS] && mnl_attr_get_payload_len(table[IFLA_ADDRESS]) == sizeof(info->mac.octets))
		memcpy(info->mac.octets, mnl_attr_get_payload(table[IFLA_ADDRESS]), sizeof(info->mac.octets));
	if (table[IFLA_LINKINFO])
		parse_kind(table[IFLA_LINKINFO], info);
	if (table[IFLA_AF_SPEC])
		info->forwarding = parse_forwarding(table[IFLA_AF_SPEC]);
	return 0;
}

static int take_one(const struct nlmsghdr *header, void *data)
{
	if (header->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	return link_parse(header, data) < 0 ? MNL_CB_ERROR : MNL_CB_OK;
}

int link_get(struct rtnl *rtnl, int nsid, const char *name, struct link_info *info, struct err *err)
{
	struct rtnl_request request;

	memset(info, 0, sizeof(*info));
	rtnl_begin(&request, RTM_GETLINK, 0, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(request.header, IFLA_IFNAME, name);
	if (nsid != LINK_HERE)
		mnl_attr_put_u32(request.header, IFLA_TARGET_NETNSID, (uint32_t)nsid);
	return rtnl_ask(rtnl, &request, take_one, info, err, "link %s", name);
}

int link_get_index(struct rtnl *rtnl, int index, struct link_info *info, struct err *err)
{
	struct rtnl_request request;
	struct ifinfomsg *link = rtnl_begin(&request, RTM_GETLINK, 0, sizeof(*link));

	memset(info, 0, sizeof(*info));
	link->ifi_index = index;
	return rtnl_ask(rtnl, &request, take_one, info, err, "link number %d", index);
}

struct dump {
	void (*take)(void *context, const struct link_info *info);
	void *context;
};

static int take_each(const struct nlmsghdr *header, void *data)
{
	struct dump *dump = data;
	struct link_info info;

	if (header->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	if (link_parse(header, &info) < 0)
		return MNL_CB_ERROR;
	dump->take(dump->context, &info);
	return MNL_CB_OK;
}

int link_dump(struct rtnl *rtnl, void (*take)(void *context, const struct link_info *info), void *context,
	      struct err *err)
{
	struct dump dump = { .take = take, .context = context };
	struct rtnl_request request;

	rtnl_begin(&request, RTM_GETLINK, NLM_F_DUMP, sizeof(struct ifinfomsg));
	return rtnl_ask(rtnl, &request, take_each, &dump, err, "links");
}

int link_make_veth(struct rtnl *rtnl, const struct link_veth *veth, struct err *err)
{
	struct rtnl_request request;
	struct nlattr *linkinfo, *data, *peer;

	rtnl_begin(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(request.header, IFLA_IFNAME, veth->name);
	mnl_attr_put(request.header, IFLA_ADDRESS, sizeof(veth->mac.octets), veth->mac.octets);
	mnl_attr_put_u32(request.header, IFLA_MTU, veth->mtu);
	mnl_attr_put_u32(request.header, IFLA_GROUP, veth->group);
	linkinfo = mnl_attr_nest_start(request.header, IFLA_LINKINFO);
	mnl_attr_put_strz(request.header, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(request.header, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(request.header, VETH_INFO_PEER);
	memset(mnl_nlmsg_get_payload_tail(request.header), 0, sizeof(struct ifinfomsg));
	request.header->nlmsg_len += sizeof(struct ifinfomsg);
	mnl_attr_put_strz(request.header, IFLA_IFNAME, veth->peer);
	mnl_attr_put(request.header, IFLA_ADDRESS, sizeof(veth->peer_mac.octets), veth->peer_mac.octets);
	mnl_attr_put_u32(request.header, IFLA_MTU, veth->mtu);
	mnl_attr_put_u32(request.header, IFLA_NET_NS_FD, (uint32_t)veth->peer_fd);
	mnl_attr_nest_end(request.header, peer);
	mnl_attr_nest_end(request.header, data);
	mnl_attr_nest_end(request.header, linkinfo);
	return rtnl_send(rtnl, &request, err, "link %s", veth->name);
}

int link_up_forwarding(struct rtnl *rtnl, int index, const char *name, struct err *err)
{
	struct rtnl_request request;
	struct ifinfomsg *link = rtnl_begin(&request, RTM_NEWLINK, 0, sizeof(*link));
	struct nlattr *spec, *inet, *conf;

	link->ifi_index = index;
	link->ifi_flags = IFF_UP;
	link->ifi_change = IFF_UP;
	spec = mnl_attr_nest_start(request.header, IFLA_AF_SPEC);
	inet = mnl_attr_nest_start(request.header, AF_INET);
	conf = mnl_attr_nest_start(request.header, IFLA_INET_CONF);
	mnl_attr_put_u32(request.header, IPV4_DEVCONF_FORWARDING, 1);
	mnl_attr_put_u32(request.header, IPV4_DEVCONF_SEND_REDIRECTS, 0);
	mnl_attr_put_u32(request.header, IPV4_DEVCONF_ACCEPT_REDIRECTS, 0);
	mnl_attr_nest_end(request.header, conf);
	mnl_attr_nest_end(request.header, inet);
	mnl_attr_nest_end(request.header, spec);
	return rtnl_send(rtnl, &request, err, "link %s", name);
}

int link_no_ipv6(const char *name, struct err *err)
{
	char path[64];

	snprintf(path, sizeof(path), "net/ipv6/conf/%s/disable_ipv6", name);
	/* A host without IPv6 has none to keep away. */
	return sysctl_write(path, "1", err) < 0 && err->code != ENOENT ? -1 : 0;
}

int link_up(struct rtnl *rtnl, int index, const char *name, struct err *err)
{
	struct rtnl_request request;
	struct ifinfomsg *link = rtnl_begin(&request, RTM_NEWLINK, 0, sizeof(*link));

	link->ifi_index = index;
	link->ifi_flags = IFF_UP;
	link->ifi_change = IFF_UP;
	return rtnl_send(rtnl, &request, err, "link %s", name);
}

int link_set_mac_mtu(struct rtnl *rtnl, int index, const char *name, const struct mac *mac, unsigned mtu,
		     struct err *err)
{
	struct rtnl_request request;
	struct ifinfomsg *link = rtnl_begin(&request, RTM_NEWLINK, 0, sizeof(*link));

	link->ifi_index = index;
	mnl_attr_put(request.header, IFLA_ADDRESS, sizeof(mac->octets), mac->octets);
	mnl_attr_put_u32(request.header, IFLA_MTU, mtu);
	return rtnl_send(rtnl, &request, err, "link %s: MAC and MTU %u", name, mtu);
}

int link_set_alias(struct rtnl *rtnl, int index, const char *name, const char *alias, struct err *err)
{
	struct rtnl_request request;
	struct ifinfomsg *link = rtnl_begin(&request, RTM_NEWLINK, 0, sizeof(*link));

	link->ifi_index = index;
	mnl_attr_put_strz(request.header, IFLA_IFALIAS, alias);
	return rtnl_send(rtnl, &request, err, "link %s: alias", name);
}

int link_delete(struct rtnl *rtnl, int nsid, const char *name, struct err *err)
{
	struct rtnl_request request;

	rtnl_begin(&request, RTM_DELLINK, 0, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(request.header, IFLA_IFNAME, name);
	if (nsid != LINK_HERE)
		mnl_attr_put_u32(request.header, IFLA_TARGET_NETNSID, (uint32_t)nsid);
	return rtnl_send(rtnl, &request, err, "link %s: deleting", name);
}

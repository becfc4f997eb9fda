/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tracked flows, by ctnetlink. A namespace's are flushed as a whole. Of the host's only those of one sandbox go: the kernel is
 * asked to drop those with an address (since 6.8 or so); where it does not know how, flows are dumped and deleted one by one.
 */
#include "kernel/conntrack.h"

#include "base/err.h"
#include "base/vec.h"
#include "kernel/rtnl.h"

#include <endian.h>
#include <errno.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <sys/socket.h>

enum {
	/* Bits of CTA_FILTER: which attributes of a tuple are to be equal. From the kernel's nf_conntrack_netlink.c. */
	FILTER_SOURCE = 1 << 0,
	FILTER_DESTINATION = 1 << 1,
};

/* The name of these requests in errors. */
#define NETFILTER "netfilter"

static struct nl_msg *kern_conntrack_message(int type, int flags, uint8_t family)
{
	const struct nfgenmsg body = { .nfgen_family = family, .version = NFNETLINK_V0 };

	return kern_rtnl_message(NFNL_SUBSYS_CTNETLINK << 8 | type, flags, &body, sizeof(body));
}

int kern_conntrack_flush(int netns_fd, struct err *err)
{
	struct kern_rtnl netfilter;
	int status;

	if (kern_rtnl_open(&netfilter, netns_fd, NETLINK_NETFILTER, err) < 0)
		return -1;
	status = kern_rtnl_send(&netfilter, kern_conntrack_message(IPCTNL_MSG_CT_DELETE, 0, AF_UNSPEC), err, NETFILTER);
	kern_rtnl_close(&netfilter);
	return status < 0 ? err_wrap(err, "flushing conntrack") : 0;
}

static int kern_conntrack_take_count(const struct nlmsghdr *message, void *context)
{
	const struct nlattr *table[CTA_STATS_GLOBAL_MAX + 1];
	unsigned *count = context;

	if (NFNL_MSG_TYPE(message->nlmsg_type) != IPCTNL_MSG_CT_GET_STATS)
		return 0;
	kern_rtnl_attributes(message, sizeof(struct nfgenmsg), table, CTA_STATS_GLOBAL_MAX + 1);
	if (table[CTA_STATS_GLOBAL_ENTRIES])
		*count = be32toh(nla_get_u32(table[CTA_STATS_GLOBAL_ENTRIES]));
	return 0;
}

int kern_conntrack_count(int netns_fd, unsigned *count, struct err *err)
{
	struct kern_rtnl netfilter;
	int status;

	if (kern_rtnl_open(&netfilter, netns_fd, NETLINK_NETFILTER, err) < 0)
		return -1;
	*count = 0;
	status = kern_rtnl_ask(&netfilter, kern_conntrack_message(IPCTNL_MSG_CT_GET_STATS, 0, AF_UNSPEC),
			       kern_conntrack_take_count, count, err, NETFILTER);
	kern_rtnl_close(&netfilter);
	return status < 0 ? err_wrap(err, "counting conntrack") : 0;
}

/* ---- Flows of one address ---- */

/* TUPLE (CTA_TUPLE_ORIG or _REPLY) with ADDRESS as ATTR (CTA_IP_V4_SRC or _DST). 0, or -1: no memory. */
static int kern_conntrack_put_tuple(struct nl_msg *message, int tuple, int attr, uint32_t address)
{
	struct nlattr *outer = nla_nest_start(message, tuple);
	struct nlattr *inner = outer ? nla_nest_start(message, CTA_TUPLE_IP) : NULL;

	if (!inner || nla_put_u32(message, attr, htobe32(address)) < 0)
		return -1;
	nla_nest_end(message, inner);
	nla_nest_end(message, outer);
	return 0;
}

static int kern_conntrack_put_filter(struct nl_msg *message, int tuple, int attr)
{
	uint32_t bits = attr == CTA_IP_V4_SRC ? FILTER_SOURCE : FILTER_DESTINATION;
	struct nlattr *filter = nla_nest_start(message, CTA_FILTER);

	/* These two are in the machine's order. */
	if (!filter || nla_put_u32(message, CTA_FILTER_ORIG_FLAGS, tuple == CTA_TUPLE_ORIG ? bits : 0) < 0 ||
	    nla_put_u32(message, CTA_FILTER_REPLY_FLAGS, tuple == CTA_TUPLE_REPLY ? bits : 0) < 0)
		return -1;
	nla_nest_end(message, filter);
	return 0;
}

/* Deletes the flows whose TUPLE has ADDRESS as ATTR. */
static int kern_conntrack_flush_matching(struct kern_rtnl *netfilter, int tuple, int attr, uint32_t address,
					 struct err *err)
{
	struct nl_msg *message = kern_conntrack_message(IPCTNL_MSG_CT_DELETE, 0, AF_INET);

	if (message && (kern_conntrack_put_tuple(message, tuple, attr, address) < 0 ||
			kern_conntrack_put_filter(message, tuple, attr) < 0)) {
		nlmsg_free(message);
		message = NULL;
	}
	return kern_rtnl_send(netfilter, message, err, NETFILTER);
}

/* ---- Flows, one by one ---- */

struct flow_list {
	VEC_OF(char); /* CTA_TUPLE_ORIG and CTA_ID of one after the other */
};

struct flow_search {
	kern_conntrack_judge *judge;
	void *context;
	struct flow_list forget, relax;
	bool broken; /* no memory */
};

/* In host order; 0: there is none. */
static uint32_t kern_conntrack_u32(const struct nlattr *attr)
{
	return attr && nla_len(attr) == sizeof(uint32_t) ? be32toh(nla_get_u32(attr)) : 0;
}

static void kern_conntrack_read_tuple(const struct nlattr *tuple, struct kern_conntrack_way *way)
{
	const struct nlattr *parts[CTA_TUPLE_MAX + 1], *ip[CTA_IP_MAX + 1], *proto[CTA_PROTO_MAX + 1];

	*way = (struct kern_conntrack_way){ 0 };
	if (!tuple)
		return;
	kern_rtnl_nested(tuple, parts, CTA_TUPLE_MAX + 1);
	if (parts[CTA_TUPLE_IP]) {
		kern_rtnl_nested(parts[CTA_TUPLE_IP], ip, CTA_IP_MAX + 1);
		way->source = kern_conntrack_u32(ip[CTA_IP_V4_SRC]);
		way->destination = kern_conntrack_u32(ip[CTA_IP_V4_DST]);
	}
	if (parts[CTA_TUPLE_PROTO]) {
		kern_rtnl_nested(parts[CTA_TUPLE_PROTO], proto, CTA_PROTO_MAX + 1);
		if (proto[CTA_PROTO_NUM] && nla_len(proto[CTA_PROTO_NUM]) == sizeof(uint8_t))
			way->protocol = nla_get_u8(proto[CTA_PROTO_NUM]);
		if (proto[CTA_PROTO_DST_PORT] && nla_len(proto[CTA_PROTO_DST_PORT]) == sizeof(uint16_t))
			way->port = be16toh(nla_get_u16(proto[CTA_PROTO_DST_PORT]));
		if (proto[CTA_PROTO_SRC_PORT] && nla_len(proto[CTA_PROTO_SRC_PORT]) == sizeof(uint16_t))
			way->source_port = be16toh(nla_get_u16(proto[CTA_PROTO_SRC_PORT]));
	}
}

static void kern_conntrack_keep(struct flow_search *search, struct flow_list *list, const struct nlattr *attr)
{
	size_t size = (size_t)nla_total_size(nla_len(attr));

	if (vec_reserve(list, list->count + size) < 0) {
		search->broken = true;
		return;
	}
	memcpy(list->items + list->count, attr, size);
	list->count += size;
}

static void kern_conntrack_read_flow(const struct nlattr *const *table, struct kern_conntrack_flow *flow)
{
	uint32_t status = kern_conntrack_u32(table[CTA_STATUS]);

	kern_conntrack_read_tuple(table[CTA_TUPLE_ORIG], &flow->original);
	kern_conntrack_read_tuple(table[CTA_TUPLE_REPLY], &flow->reply);
	flow->answered = status & IPS_SEEN_REPLY;
	flow->translated = status & (IPS_SRC_NAT | IPS_DST_NAT);
	flow->mark = kern_conntrack_u32(table[CTA_MARK]);
}

static int kern_conntrack_take_flow(const struct nlmsghdr *message, void *context)
{
	const struct nlattr *table[CTA_ID + 1];
	struct flow_search *search = context;
	struct kern_conntrack_flow flow;
	enum kern_conntrack_care care;
	struct flow_list *list;

	kern_rtnl_attributes(message, sizeof(struct nfgenmsg), table, CTA_ID + 1);
	if (!table[CTA_TUPLE_ORIG] || !table[CTA_ID] || search->broken)
		return 0;
	kern_conntrack_read_flow(table, &flow);
	care = search->judge(&flow, search->context);
	if (care == KERN_CONNTRACK_KEEP)
		return 0;
	list = care == KERN_CONNTRACK_FORGET ? &search->forget : &search->relax;
	kern_conntrack_keep(search, list, table[CTA_TUPLE_ORIG]);
	kern_conntrack_keep(search, list, table[CTA_ID]);
	return 0;
}

static const struct nlattr *kern_conntrack_next(const struct flow_list *list, size_t *at)
{
	const struct nlattr *attr = (const struct nlattr *)(list->items + *at);

	*at += (size_t)nla_total_size(nla_len(attr));
	return attr;
}

static struct nl_msg *kern_conntrack_put_attr(struct nl_msg *message, int type, const struct nlattr *attr)
{
	return kern_rtnl_put(message, type, nla_data(attr), (size_t)nla_len(attr));
}

/* MESSAGE with the flag for both directions; NULL without memory. */
static struct nl_msg *kern_conntrack_put_liberal(struct nl_msg *message)
{
	static const struct nf_ct_tcp_flags liberal = { IP_CT_TCP_FLAG_BE_LIBERAL, IP_CT_TCP_FLAG_BE_LIBERAL };
	struct nlattr *info = message ? nla_nest_start(message, CTA_PROTOINFO | NLA_F_NESTED) : NULL;
	struct nlattr *tcp = info ? nla_nest_start(message, CTA_PROTOINFO_TCP | NLA_F_NESTED) : NULL;

	if (!tcp || nla_put(message, CTA_PROTOINFO_TCP_FLAGS_ORIGINAL, sizeof(liberal), &liberal) < 0 ||
	    nla_put(message, CTA_PROTOINFO_TCP_FLAGS_REPLY, sizeof(liberal), &liberal) < 0) {
		nlmsg_free(message);
		return NULL;
	}
	nla_nest_end(message, tcp);
	nla_nest_end(message, info);
	return message;
}

/* Sends a message of TYPE for each flow of LIST: IPCTNL_MSG_CT_DELETE, or IPCTNL_MSG_CT_NEW, which relaxes it. */
static int kern_conntrack_change_found(struct kern_rtnl *netfilter, int type, const struct flow_list *list,
				       struct err *err)
{
	for (size_t at = 0; at < list->count;) {
		struct nl_msg *message = kern_conntrack_message(type, 0, AF_INET);

		message =
		    kern_conntrack_put_attr(message, CTA_TUPLE_ORIG | NLA_F_NESTED, kern_conntrack_next(list, &at));
		/* With its number, another flow that has the same addresses by now is not meant. */
		message = kern_conntrack_put_attr(message, CTA_ID, kern_conntrack_next(list, &at));
		if (type == IPCTNL_MSG_CT_NEW)
			message = kern_conntrack_put_liberal(message);
		/* A flow that ended by itself meanwhile is as good. */
		if (kern_rtnl_send(netfilter, message, err, NETFILTER) < 0 && err->code != ENOENT)
			return -1;
	}
	return 0;
}

static int kern_conntrack_search(struct kern_rtnl *netfilter, kern_conntrack_judge *judge, void *context,
				 struct err *err)
{
	struct flow_search search = { .judge = judge, .context = context };
	struct nl_msg *message = kern_conntrack_message(IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF_INET);
	int status = kern_rtnl_ask(netfilter, message, kern_conntrack_take_flow, &search, err, NETFILTER);

	if (status == 0 && search.broken)
		status = err_set(err, ENOMEM, "conntrack");
	if (status == 0)
		status = kern_conntrack_change_found(netfilter, IPCTNL_MSG_CT_DELETE, &search.forget, err);
	if (status == 0)
		status = kern_conntrack_change_found(netfilter, IPCTNL_MSG_CT_NEW, &search.relax, err);
	vec_free(&search.forget);
	vec_free(&search.relax);
	return status;
}

int kern_conntrack_review(int netns_fd, kern_conntrack_judge *judge, void *context, struct err *err)
{
	struct kern_rtnl netfilter;
	int status;

	if (kern_rtnl_open(&netfilter, netns_fd, NETLINK_NETFILTER, err) < 0)
		return -1;
	status = kern_conntrack_search(&netfilter, judge, context, err);
	kern_rtnl_close(&netfilter);
	return status < 0 ? err_wrap(err, "reviewing flows") : 0;
}

static enum kern_conntrack_care kern_conntrack_forget_host(const struct kern_conntrack_flow *flow, void *context)
{
	const uint32_t *address = context;
	bool is_of = flow->original.source == *address || flow->original.destination == *address ||
		     flow->reply.source == *address || flow->reply.destination == *address;

	return is_of ? KERN_CONNTRACK_FORGET : KERN_CONNTRACK_KEEP;
}

int kern_conntrack_flush_one_by_one(struct kern_rtnl *netfilter, uint32_t host_ip, struct err *err)
{
	return kern_conntrack_search(netfilter, kern_conntrack_forget_host, &host_ip, err);
}

/* ---- One flow ---- */

static int kern_conntrack_take_one(const struct nlmsghdr *message, void *context)
{
	const struct nlattr *table[CTA_ID + 1];

	kern_rtnl_attributes(message, sizeof(struct nfgenmsg), table, CTA_ID + 1);
	if (NFNL_MSG_TYPE(message->nlmsg_type) == IPCTNL_MSG_CT_NEW && table[CTA_TUPLE_ORIG])
		kern_conntrack_read_flow(table, context);
	return 0;
}

/* MESSAGE with WAY as its TYPE (CTA_TUPLE_ORIG or _REPLY); NULL without memory. */
static struct nl_msg *kern_conntrack_put_way(struct nl_msg *message, int type, const struct kern_conntrack_way *way)
{
	struct nlattr *tuple = message ? nla_nest_start(message, type | NLA_F_NESTED) : NULL;
	struct nlattr *part = tuple ? nla_nest_start(message, CTA_TUPLE_IP | NLA_F_NESTED) : NULL;

	if (!part || nla_put_u32(message, CTA_IP_V4_SRC, htobe32(way->source)) < 0 ||
	    nla_put_u32(message, CTA_IP_V4_DST, htobe32(way->destination)) < 0)
		goto fail;
	nla_nest_end(message, part);
	part = nla_nest_start(message, CTA_TUPLE_PROTO | NLA_F_NESTED);
	if (!part || nla_put_u8(message, CTA_PROTO_NUM, way->protocol) < 0 ||
	    nla_put_u16(message, CTA_PROTO_SRC_PORT, htobe16(way->source_port)) < 0 ||
	    nla_put_u16(message, CTA_PROTO_DST_PORT, htobe16(way->port)) < 0)
		goto fail;
	nla_nest_end(message, part);
	nla_nest_end(message, tuple);
	return message;
fail:
	nlmsg_free(message);
	return NULL;
}

static int kern_conntrack_find_by(int netns_fd, int tuple, const struct kern_conntrack_way *way,
				  struct kern_conntrack_flow *flow, bool *found, struct err *err)
{
	struct nl_msg *message;
	struct kern_rtnl netfilter;
	int status;

	*flow = (struct kern_conntrack_flow){ 0 };
	*found = false;
	if (kern_rtnl_open(&netfilter, netns_fd, NETLINK_NETFILTER, err) < 0)
		return -1;
	message = kern_conntrack_put_way(kern_conntrack_message(IPCTNL_MSG_CT_GET, 0, AF_INET), tuple, way);
	status = kern_rtnl_ask(&netfilter, message, kern_conntrack_take_one, flow, err, NETFILTER);
	kern_rtnl_close(&netfilter);
	*found = status == 0;
	if (status < 0 && err->code == ENOENT)
		return 0;
	return status < 0 ? err_wrap(err, "asking conntrack") : 0;
}

int kern_conntrack_find(int netns_fd, const struct kern_conntrack_way *way, struct kern_conntrack_flow *flow,
			bool *found, struct err *err)
{
	return kern_conntrack_find_by(netns_fd, CTA_TUPLE_ORIG, way, flow, found, err);
}

int kern_conntrack_find_reply(int netns_fd, const struct kern_conntrack_way *reply, struct kern_conntrack_flow *flow,
			      bool *found, struct err *err)
{
	return kern_conntrack_find_by(netns_fd, CTA_TUPLE_REPLY, reply, flow, found, err);
}

/* ---- The host's flows of one sandbox ---- */

static int kern_conntrack_flush_address(struct kern_rtnl *netfilter, uint32_t host_ip, struct err *err)
{
	/* From the sandbox; to it; and translated to it (replies then come from it). */
	static const int tuples[][2] = { { CTA_TUPLE_ORIG, CTA_IP_V4_SRC },
					 { CTA_TUPLE_ORIG, CTA_IP_V4_DST },
					 { CTA_TUPLE_REPLY, CTA_IP_V4_SRC } };

	for (size_t i = 0; i < sizeof(tuples) / sizeof(tuples[0]); i++) {
		if (kern_conntrack_flush_matching(netfilter, tuples[i][0], tuples[i][1], host_ip, err) < 0)
			return kern_conntrack_flush_one_by_one(netfilter, host_ip, err);
	}
	return 0;
}

int kern_conntrack_flush_host(uint32_t host_ip, struct err *err)
{
	struct kern_rtnl netfilter;
	int status;

	if (kern_rtnl_open(&netfilter, -1, NETLINK_NETFILTER, err) < 0)
		return -1;
	status = kern_conntrack_flush_address(&netfilter, host_ip, err);
	kern_rtnl_close(&netfilter);
	return status < 0 ? err_wrap(err, "dropping a sandbox's flows") : 0;
}

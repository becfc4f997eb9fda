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

struct flow_search {
	uint32_t address; /* network order */
	VEC_OF(char);     /* the flows that match: one CTA_TUPLE_ORIG after the other */
	bool broken;      /* no memory */
};

static bool kern_conntrack_tuple_has(const struct nlattr *tuple, uint32_t address)
{
	const struct nlattr *parts[CTA_TUPLE_MAX + 1], *ip[CTA_IP_MAX + 1];

	if (!tuple)
		return false;
	kern_rtnl_nested(tuple, parts, CTA_TUPLE_MAX + 1);
	if (!parts[CTA_TUPLE_IP])
		return false;
	kern_rtnl_nested(parts[CTA_TUPLE_IP], ip, CTA_IP_MAX + 1);
	return (ip[CTA_IP_V4_SRC] && nla_get_u32(ip[CTA_IP_V4_SRC]) == address) ||
	       (ip[CTA_IP_V4_DST] && nla_get_u32(ip[CTA_IP_V4_DST]) == address);
}

static void kern_conntrack_keep(struct flow_search *search, const struct nlattr *tuple)
{
	size_t size = (size_t)nla_total_size(nla_len(tuple));

	if (vec_reserve(search, search->count + size) < 0) {
		search->broken = true;
		return;
	}
	memcpy(search->items + search->count, tuple, size);
	search->count += size;
}

static int kern_conntrack_take_flow(const struct nlmsghdr *message, void *context)
{
	const struct nlattr *table[CTA_TUPLE_REPLY + 1];
	struct flow_search *search = context;

	kern_rtnl_attributes(message, sizeof(struct nfgenmsg), table, CTA_TUPLE_REPLY + 1);
	if (table[CTA_TUPLE_ORIG] && (kern_conntrack_tuple_has(table[CTA_TUPLE_ORIG], search->address) ||
				      kern_conntrack_tuple_has(table[CTA_TUPLE_REPLY], search->address)))
		kern_conntrack_keep(search, table[CTA_TUPLE_ORIG]);
	return 0;
}

static int kern_conntrack_delete_found(struct kern_rtnl *netfilter, const struct flow_search *search, struct err *err)
{
	const struct nlattr *tuple;

	for (size_t at = 0; at < search->count; at += (size_t)nla_total_size(nla_len(tuple))) {
		struct nl_msg *message = kern_conntrack_message(IPCTNL_MSG_CT_DELETE, 0, AF_INET);

		tuple = (const struct nlattr *)(search->items + at);
		message =
		    kern_rtnl_put(message, CTA_TUPLE_ORIG | NLA_F_NESTED, nla_data(tuple), (size_t)nla_len(tuple));
		/* A flow that ended by itself meanwhile is as good. */
		if (kern_rtnl_send(netfilter, message, err, NETFILTER) < 0 && err->code != ENOENT)
			return -1;
	}
	return 0;
}

int kern_conntrack_flush_one_by_one(struct kern_rtnl *netfilter, uint32_t host_ip, struct err *err)
{
	struct flow_search search = { .address = htobe32(host_ip) };
	struct nl_msg *message = kern_conntrack_message(IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF_INET);
	int status = kern_rtnl_ask(netfilter, message, kern_conntrack_take_flow, &search, err, NETFILTER);

	if (status == 0 && search.broken)
		status = err_set(err, ENOMEM, "conntrack");
	if (status == 0)
		status = kern_conntrack_delete_found(netfilter, &search, err);
	vec_free(&search);
	return status;
}

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

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tracked flows, by ctnetlink. A namespace's are flushed as a whole. Of the host's only those of one sandbox go: the kernel is
 * asked to drop what matches an address (since 6.8 or so); where it does not know how, flows are dumped and deleted one by one.
 */
#include "kernel/conntrack.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "fabric/rules/rules.h"
#include "nft/batch.h"

#include <endian.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
	REQUEST_ROOM = 1024,
	/* Bits of CTA_FILTER: which attributes of a tuple are to be equal. From the kernel's nf_conntrack_netlink.c. */
	FILTER_SOURCE = 1 << 0,
	FILTER_DESTINATION = 1 << 1,
};

static struct nlmsghdr *request_for(void *buffer, int type, int flags, uint8_t family)
{
	struct nlmsghdr *request = nft_request(buffer, 0, family, flags);

	request->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type);
	return request;
}

static int ignore(const struct nlmsghdr *message, void *data)
{
	(void)message;
	(void)data;
	return MNL_CB_OK;
}

int conntrack_flush(int netns_fd, struct err *err)
{
	char buffer[REQUEST_ROOM] __attribute__((aligned(NLMSG_ALIGNTO)));
	AUTO_FD int fd = nft_socket(netns_fd, err);

	if (fd < 0)
		return -1;
	if (nft_ask(fd, request_for(buffer, IPCTNL_MSG_CT_DELETE, 0, AF_UNSPEC), ignore, NULL, err) < 0)
		return err_wrap(err, "flushing conntrack");
	return 0;
}

static int read_count(const struct nlmsghdr *message, void *data)
{
	const struct nlattr *attr;
	unsigned *count = data;

	if (NFNL_MSG_TYPE(message->nlmsg_type) != IPCTNL_MSG_CT_GET_STATS)
		return MNL_CB_OK;
	nft_for_each(attr, message)
	{
		if (mnl_attr_get_type(attr) == CTA_STATS_GLOBAL_ENTRIES)
			*count = be32toh(mnl_attr_get_u32(attr));
	}
	return MNL_CB_OK;
}

int conntrack_count(int netns_fd, unsigned *count, struct err *err)
{
	char buffer[REQUEST_ROOM] __attribute__((aligned(NLMSG_ALIGNTO)));
	AUTO_FD int fd = nft_socket(netns_fd, err);

	if (fd < 0)
		return -1;
	*count = 0;
	if (nft_ask(fd, request_for(buffer, IPCTNL_MSG_CT_GET_STATS, 0, AF_UNSPEC), read_count, count, err) < 0)
		return err_wrap(err, "counting conntrack");
	return 0;
}

/* ---- Flows of one address ---- */

/* Deletes the flows whose TUPLE (CTA_TUPLE_ORIG or _REPLY) has ADDRESS as ATTR (CTA_IP_V4_SRC or _DST). */
static int flush_matching(int fd, uint16_t tuple, uint16_t attr, uint32_t address, struct err *err)
{
	char buffer[REQUEST_ROOM] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *request = request_for(buffer, IPCTNL_MSG_CT_DELETE, 0, AF_INET);
	uint32_t bits = attr == CTA_IP_V4_SRC ? FILTER_SOURCE : FILTER_DESTINATION;

	struct nlattr *outer = mnl_attr_nest_start(request, tuple);
	struct nlattr *inner = mnl_attr_nest_start(request, CTA_TUPLE_IP);
	mnl_attr_put_u32(request, attr, htobe32(address));
	mnl_attr_nest_end(request, inner);
	mnl_attr_nest_end(request, outer);

	/* These two are in the machine's order. */
	outer = mnl_attr_nest_start(request, CTA_FILTER);
	mnl_attr_put_u32(request, CTA_FILTER_ORIG_FLAGS, tuple == CTA_TUPLE_ORIG ? bits : 0);
	mnl_attr_put_u32(request, CTA_FILTER_REPLY_FLAGS, tuple == CTA_TUPLE_REPLY ? bits : 0);
	mnl_attr_nest_end(request, outer);
	return nft_ask(fd, request, ignore, NULL, err);
}

struct flow_search {
	uint32_t address; /* network order */
	char *found;      /* what identifies the flows that match: one attribute after the other, CTA_TUPLE_ORIG each */
	size_t used, room;
	bool broken;
};

static bool tuple_has(const struct nlattr *tuple, uint32_t address)
{
	const struct nlattr *part, *attr;

	nft_for_each_nested(part, tuple)
	{
		if (mnl_attr_get_type(part) != CTA_TUPLE_IP)
			continue;
		nft_for_each_nested(attr, part)
		{
			uint16_t type = mnl_attr_get_type(attr);
			if ((type == CTA_IP_V4_SRC || type == CTA_IP_V4_DST) && mnl_attr_get_u32(attr) == address)
				return true;
		}
	}
	return false;
}

static void keep_flow(struct flow_search *search, const struct nlattr *tuple)
{
	size_t size = MNL_ALIGN(tuple->nla_len);

	if (search->used + size > search->room) {
		size_t room = search->room ? 2 * search->room : 16384;
		char *found = realloc(search->found, room);
		if (!found) {
			search->broken = true;
			return;
		}
		search->found = found;
		search->room = room;
	}
	memcpy(search->found + search->used, tuple, tuple->nla_len);
	search->used += size;
}

static int look_at_flow(const struct nlmsghdr *message, void *data)
{
	const struct nlattr *attr, *original = NULL, *reply = NULL;
	struct flow_search *search = data;

	nft_for_each(attr, message)
	{
		if (mnl_attr_get_type(attr) == CTA_TUPLE_ORIG)
			original = attr;
		else if (mnl_attr_get_type(attr) == CTA_TUPLE_REPLY)
			reply = attr;
	}
	if (original && (tuple_has(original, search->address) || (reply && tuple_has(reply, search->address))))
		keep_flow(search, original);
	return MNL_CB_OK;
}

static int delete_found(int fd, const struct flow_search *search, struct err *err)
{
	char buffer[REQUEST_ROOM] __attribute__((aligned(NLMSG_ALIGNTO)));

	for (size_t at = 0; at < search->used;) {
		const struct nlattr *tuple = (const struct nlattr *)(search->found + at);
		struct nlmsghdr *request = request_for(buffer, IPCTNL_MSG_CT_DELETE, 0, AF_INET);
		mnl_attr_put(request, CTA_TUPLE_ORIG | NLA_F_NESTED, mnl_attr_get_payload_len(tuple),
			     mnl_attr_get_payload(tuple));
		/* A flow that ended by itself meanwhile is as good. */
		if (nft_ask(fd, request, ignore, NULL, err) < 0 && err->code != ENOENT)
			return -1;
		at += MNL_ALIGN(tuple->nla_len);
	}
	return 0;
}

int conntrack_flush_one_by_one(int fd, uint32_t host_ip, struct err *err)
{
	char buffer[REQUEST_ROOM] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct flow_search search = { .address = htobe32(host_ip) };
	int status =
	    nft_ask(fd, request_for(buffer, IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF_INET), look_at_flow, &search, err);

	if (status == 0 && search.broken)
		status = err_set(err, ENOMEM, "conntrack");
	if (status == 0)
		status = delete_found(fd, &search, err);
	free(search.found);
	return status;
}

int conntrack_flush_host(uint32_t host_ip, struct err *err)
{
	/* From the sandbox; to it; and translated to it (replies then come from it). */
	static const uint16_t tuples[][2] = { { CTA_TUPLE_ORIG, CTA_IP_V4_SRC },
					      { CTA_TUPLE_ORIG, CTA_IP_V4_DST },
					      { CTA_TUPLE_REPLY, CTA_IP_V4_SRC } };
	AUTO_FD int fd = nft_socket(-1, err);

	if (fd < 0)
		return -1;
	for (size_t i = 0; i < sizeof(tuples) / sizeof(tuples[0]); i++) {
		if (flush_matching(fd, tuples[i][0], tuples[i][1], host_ip, err) == 0)
			continue;
		if (conntrack_flush_one_by_one(fd, host_ip, err) < 0)
			return err_wrap(err, "dropping a sandbox's flows");
		break;
	}
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Classic BPF on netlink sockets. It loads numbers in network order, and netlink has them in the host's, so constants are
 * swapped. Each packet that the filters judge holds one message, or several of one transaction, of which the first decides.
 */
#include "kernel/event_filter.h"

#include "kernel/kern_route.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stddef.h>
#include <sys/socket.h>

enum {
	AT_TYPE = offsetof(struct nlmsghdr, nlmsg_type),
	AT_FLAGS = offsetof(struct nlmsghdr, nlmsg_flags),
	AT_LINK_INDEX = NLMSG_HDRLEN + offsetof(struct ifinfomsg, ifi_index),
	AT_LINK_FLAGS = NLMSG_HDRLEN + offsetof(struct ifinfomsg, ifi_flags),
	AT_LINK_CHANGE = NLMSG_HDRLEN + offsetof(struct ifinfomsg, ifi_change),
	AT_ADDRESS_LENGTH = NLMSG_HDRLEN + offsetof(struct ifaddrmsg, ifa_prefixlen),
	AT_ROUTE_LENGTH = NLMSG_HDRLEN + offsetof(struct rtmsg, rtm_dst_len),
	AT_ROUTE_TABLE = NLMSG_HDRLEN + offsetof(struct rtmsg, rtm_table),
	AT_ROUTE_PROTOCOL = NLMSG_HDRLEN + offsetof(struct rtmsg, rtm_protocol),
	ALL = 0x40000,
};

#define LOAD_BYTE(at)          BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (at))
#define LOAD_SHORT(at)         BPF_STMT(BPF_LD | BPF_H | BPF_ABS, (at))
#define LOAD_LONG(at)          BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (at))
#define IF_IS(value, yes, no)  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (yes), (no))
#define IF_HAS(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (value), (yes), (no))
#define PASS                   BPF_STMT(BPF_RET | BPF_K, ALL)
#define DROP                   BPF_STMT(BPF_RET | BPF_K, 0)

static int kern_event_filter_attach(int fd, struct sock_filter *steps, size_t count)
{
	struct sock_fprog program = { .len = (unsigned short)count, .filter = steps };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

int kern_event_filter_links(int fd)
{
	struct sock_filter steps[] = {
		/* 0 */ LOAD_SHORT(AT_TYPE),
		/* 1 */ IF_IS(htons(RTM_NEWNSID), 6, 0),
		/* 2 */ IF_IS(htons(RTM_NEWLINK), 0, 4),
		/* 3 */ LOAD_LONG(AT_LINK_FLAGS),
		/* 4 */ IF_HAS(htonl(IFF_UP), 0, 2),
		/* 5 */ LOAD_LONG(AT_LINK_CHANGE),
		/* 6 */ IF_HAS(htonl(IFF_UP), 1, 0), /* it came up just now */
		/* 7 */ PASS,
		/* 8 */ DROP,
	};

	return kern_event_filter_attach(fd, steps, sizeof(steps) / sizeof(steps[0]));
}

int kern_event_filter_routes(int fd)
{
	struct sock_filter steps[] = {
		/*  0 */ LOAD_SHORT(AT_TYPE),
		/*  1 */ IF_IS(htons(RTM_NEWADDR), 12, 0),
		/*  2 */ IF_IS(htons(RTM_DELROUTE), 7, 0),
		/*  3 */ IF_IS(htons(RTM_NEWROUTE), 0, 8),
		/*  4 */ LOAD_BYTE(AT_ROUTE_PROTOCOL),
		/*  5 */ IF_IS(KERN_ROUTE_PROTOCOL, 7, 0),
		/*  6 */ LOAD_BYTE(AT_ROUTE_LENGTH),
		/*  7 */ IF_IS(32, 2, 0),
		/*  8 */ LOAD_SHORT(AT_FLAGS),
		/*  9 */ IF_HAS(htons(NLM_F_REPLACE), 0, 3),
		/* 10 */ LOAD_BYTE(AT_ROUTE_TABLE),
		/* 11 */ IF_IS(RT_TABLE_MAIN, 0, 1),
		/* 12 */ PASS,
		/* 13 */ DROP,
		/* 14 */ LOAD_BYTE(AT_ADDRESS_LENGTH),
		/* 15 */ IF_IS(32, 0, 1),
		/* 16 */ PASS,
		/* 17 */ DROP,
	};

	return kern_event_filter_attach(fd, steps, sizeof(steps) / sizeof(steps[0]));
}

int kern_event_filter_uplink(int fd, int index)
{
	struct sock_filter steps[] = {
		/*  0 */ LOAD_SHORT(AT_TYPE),
		/*  1 */ IF_IS(htons(RTM_NEWLINK), 3, 0),
		/*  2 */ IF_IS(htons(RTM_DELLINK), 2, 0),
		/*  3 */ IF_IS(htons(RTM_NEWROUTE), 3, 0),
		/*  4 */ IF_IS(htons(RTM_DELROUTE), 2, 5),
		/*  5 */ LOAD_LONG(AT_LINK_INDEX),
		/*  6 */ IF_IS(htonl((uint32_t)index), 2, 3),
		/*  7 */ LOAD_BYTE(AT_ROUTE_LENGTH),
		/*  8 */ IF_IS(0, 0, 1),
		/*  9 */ PASS,
		/* 10 */ DROP,
	};

	return kern_event_filter_attach(fd, steps, sizeof(steps) / sizeof(steps[0]));
}

int kern_event_filter_rules(int fd)
{
	struct sock_filter steps[] = {
		/* 0 */ LOAD_SHORT(AT_TYPE),
		/* 1 */ IF_IS(htons(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN), 1, 0),
		/* 2 */ PASS,
		/* 3 */ DROP,
	};

	return kern_event_filter_attach(fd, steps, sizeof(steps) / sizeof(steps[0]));
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as the kernel's answers about links, addresses, routes, rules, sockets and flows. The first byte selects the reader,
 * the others are datagrams (see fake_kernel.h). A reader fails with a reason, or its answer keeps its own promises.
 */
#include "base/err.h"
#include "base/log.h"
#include "fake_kernel.h"
#include "fuzz.h"
#include "inspect/inspect.h"
#include "inspect/look.h"
#include "kernel/conntrack.h"
#include "kernel/kern_route.h"
#include "kernel/link.h"
#include "kernel/namespace.h"
#include "kernel/packet_log.h"
#include "kernel/sock_kill.h"
#include "kernel/sock_list.h"

#include <linux/netlink.h>
#include <stdbool.h>

static void check_link(const struct kern_link *link)
{
	fuzz_check(memchr(link->name, '\0', sizeof(link->name)));
	fuzz_check(memchr(link->kind, '\0', sizeof(link->kind)));
	fuzz_check(memchr(link->alias, '\0', sizeof(link->alias)));
	fuzz_check(memchr(link->qdisc, '\0', sizeof(link->qdisc)));
}

static void take_link(void *context, const struct kern_link *link)
{
	(void)context;
	check_link(link);
}

static int read_links(struct kern_rtnl *rtnl, struct err *err)
{
	struct kern_link link;
	int result = kern_link_dump(rtnl, take_link, NULL, err);

	if (result == 0)
		result = kern_link_get(rtnl, KERN_LINK_HERE, "tap0", &link, err);
	if (result == 0)
		check_link(&link);
	return result;
}

static int read_routes(struct kern_rtnl *rtnl, struct err *err)
{
	int index;
	bool local;

	return kern_route_default_link(rtnl, &index, err) < 0 ? -1 : kern_route_is_local(rtnl, 0x0a0b0001, &local, err);
}

static int read_namespace(struct kern_rtnl *rtnl, struct err *err)
{
	int nsid;

	return kern_namespace_known_id(rtnl, 0, &nsid, err) < 0 ? -1 : kern_namespace_id(rtnl, 0, &nsid, err);
}

static int read_flows(struct kern_rtnl *rtnl, struct err *err)
{
	unsigned count;

	if (kern_conntrack_count(-1, &count, err) < 0)
		return -1;
	return kern_conntrack_flush_one_by_one(rtnl, 0x0a0b0001, err);
}

static int end_sockets(struct kern_rtnl *rtnl, struct err *err)
{
	(void)rtnl;
	return kern_sock_kill_all(-1, err);
}

static void check_socket(void *context, const struct kern_sock *sock)
{
	const struct kern_sock_filter *filter = context;

	fuzz_check(sock->dest_ip == filter->dest_ips[0] || sock->dest_ip == filter->dest_ips[1]);
	fuzz_check(!filter->asked || (sock->led && addr_equal(&sock->asked, filter->asked)));
	fuzz_check(!sock->led || sock->asked.any.sa_family == AF_INET || sock->asked.any.sa_family == AF_INET6);
}

static int list_sockets(struct kern_rtnl *rtnl, struct err *err)
{
	static const uint32_t ips[] = { 0x0a0b0001, 0x0a0b0002 };
	const struct addr asked = addr_from_ipv4(0x7f000001, 49983);
	struct kern_sock_filter filter = { .dest_ips = ips, .dest_count = 2, .origins = 1 };

	(void)rtnl;
	if (kern_sock_list_to(&filter, check_socket, &filter, err) < 0)
		return -1;
	filter.asked = &asked;
	return kern_sock_list_to(&filter, check_socket, &filter, err);
}

static int read_host(struct kern_rtnl *rtnl, struct err *err)
{
	struct inspect_host host = { 0 };

	(void)rtnl;
	if (inspect_host(&host, err) < 0) {
		fuzz_check(!host.link_count && !host.route_count && !host.rule_count && !host.address_count);
		return -1;
	}
	for (size_t i = 0; i < host.route_count; i++) {
		fuzz_check(host.routes[i].destination.length <= 32);
		fuzz_check(inspect_link_name(&host, host.routes[i].link));
	}
	for (size_t i = 1; i < host.rule_count; i++)
		fuzz_check(host.rules[i - 1].priority <= host.rules[i].priority);
	inspect_host_clear(&host);
	return 0;
}

static int look(struct kern_rtnl *rtnl, struct err *err)
{
	struct inspect_look_link link;
	struct inspect_look_route route;

	(void)rtnl;
	if (inspect_look_link(-1, "tap0", &link, err) < 0 || inspect_look_route(-1, 0x0a0b0001, &route, err) < 0)
		return -1;
	fuzz_check(link.address_count <= INSPECT_LOOK_ADDRESSES_MAX);
	fuzz_check(memchr(route.link, '\0', sizeof(route.link)));
	return 0;
}

static void take_packet(void *context, const uint8_t *bytes, size_t size)
{
	size_t *total = context;

	for (size_t i = 0; i < size; i++)
		*total += bytes[i];
}

static int read_packets(struct kern_rtnl *rtnl, struct err *err)
{
	struct kern_packet_log log;
	size_t total = 0;
	int got;

	(void)rtnl;
	if (kern_packet_log_open(&log, KERN_WAKE_GROUP, KERN_WAKE_BYTES, err) < 0)
		return -1;
	while ((got = kern_packet_log_read(&log, take_packet, &total, err)) > 0)
		;
	kern_packet_log_close(&log);
	return got;
}

static int find_flow(struct kern_rtnl *rtnl, struct err *err)
{
	const struct kern_conntrack_way way = { .source = 0x0a0b0002, .port = 40000, .source_port = 8080 };
	struct kern_conntrack_flow flow;
	bool found;

	(void)rtnl;
	return kern_conntrack_find_reply(-1, &way, &flow, &found, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int (*const readers[])(
	    struct kern_rtnl *, struct err *) = { read_links, read_routes, read_namespace, read_flows,   end_sockets,
						  read_host,  look,        list_sockets,   read_packets, find_flow };
	struct kern_rtnl rtnl = KERN_RTNL_CLOSED;
	struct err err = { 0 };

	if (!size)
		return 0;
	log_setup(LOG_ERROR_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
	fake_kernel_start(data + 1, size - 1);
	fuzz_check(kern_rtnl_open(&rtnl, -1, NETLINK_ROUTE, &err) == 0);
	if (readers[data[0] % (sizeof(readers) / sizeof(readers[0]))](&rtnl, &err) < 0)
		fuzz_check(err.text[0]);
	kern_rtnl_close(&rtnl);
	fake_kernel_stop();
	return 0;
}

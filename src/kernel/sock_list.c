/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel runs a small program for each socket of the dump (INET_DIAG_REQ_BYTECODE). It tests a few destinations one by one. Many it
 * tests by the prefix that they share, since the host addresses of all sandboxes lie in one network, and so each socket of the answer is
 * compared with the list once more here.
 */
#include "kernel/sock_list.h"

#include "base/err.h"
#include "bpf/loopback_maps.h"
#include "kernel/rtnl.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <string.h>

/* States of net/tcp_states.h, which programs do not get. */
enum { ESTABLISHED = 1, SYN_SENT = 2, SYN_RECV = 3, TIME_WAIT = 6, CLOSE = 7, LISTEN = 10, NEW_SYN_RECV = 12 };

enum {
	/* More destinations than these are tested by their prefix. */
	DESTINATIONS_TESTED = 16,
	/* A program that jumps one operation behind its end says no. */
	BEYOND = sizeof(struct inet_diag_bc_op),
	STATES = ((1 << NEW_SYN_RECV) - 1) & ~(1 << TIME_WAIT | 1 << CLOSE | 1 << LISTEN | 1),
	CONNECTED = STATES & ~(1 << SYN_SENT | 1 << SYN_RECV),
	ATTRIBUTES = INET_DIAG_SK_BPF_STORAGES + 1,
};

/* ---- The kernel's own test ---- */

/* The test of one destination, and a jump to the program's end (yes) for sockets that pass it. */
struct sock_test {
	struct inet_diag_bc_op test;
	uint8_t family, length;
	uint16_t unused;
	int32_t port; /* -1: any */
	uint32_t ip;
	struct inet_diag_bc_op met;
};

_Static_assert(offsetof(struct sock_test, family) == sizeof(struct inet_diag_bc_op) &&
		   offsetof(struct sock_test, ip) - offsetof(struct sock_test, family) ==
		       sizeof(struct inet_diag_hostcond),
	       "a test is an operation of the kernel's and its condition");

/* How many bits all of the filter's destinations have in common. */
static uint8_t kern_sock_shared_bits(const struct kern_sock_filter *filter)
{
	uint32_t differing = 0;

	for (size_t i = 1; i < filter->dest_count; i++)
		differing |= filter->dest_ips[i] ^ filter->dest_ips[0];
	return differing ? (uint8_t)__builtin_clz(differing) : 32;
}

/* Writes the tests; how many. The last one jumps behind the program's end if it is not met, which is a no. */
static size_t kern_sock_write_tests(const struct kern_sock_filter *filter, struct sock_test *tests)
{
	size_t count = filter->dest_count <= DESTINATIONS_TESTED ? filter->dest_count : 1;
	uint8_t length = count == filter->dest_count ? 32 : kern_sock_shared_bits(filter);

	for (size_t i = 0; i < count; i++) {
		size_t rest = (count - i) * sizeof(struct sock_test);

		tests[i] = (struct sock_test){
			.test = { .code = INET_DIAG_BC_D_COND,
				  .yes = offsetof(struct sock_test, met),
				  .no = (uint16_t)(sizeof(struct sock_test) + (i + 1 == count ? BEYOND : 0)) },
			.family = AF_INET,
			.length = length,
			.port = filter->dest_port ? filter->dest_port : -1,
			.ip = htonl(filter->dest_ips[i]),
			.met = { .code = INET_DIAG_BC_JMP,
				 .yes = sizeof(struct inet_diag_bc_op),
				 .no = (uint16_t)(rest - offsetof(struct sock_test, met)) },
		};
	}
	return count;
}

static struct nl_msg *kern_sock_request(const struct kern_sock_filter *filter, uint8_t family)
{
	const struct inet_diag_req_v2 body = { .sdiag_family = family,
					       .sdiag_protocol = filter->proto == PROTO_TCP ? IPPROTO_TCP : IPPROTO_UDP,
					       .idiag_ext = 1 << (INET_DIAG_INFO - 1),
					       .idiag_states = filter->connected_only ? CONNECTED : STATES };
	struct sock_test tests[DESTINATIONS_TESTED];
	size_t count = kern_sock_write_tests(filter, tests);
	struct nl_msg *message = kern_rtnl_message(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &body, sizeof(body));
	struct {
		struct nlattr head;
		uint32_t fd;
	} map = { .head = { .nla_len = sizeof(map), .nla_type = SK_DIAG_BPF_STORAGE_REQ_MAP_FD },
		  .fd = (uint32_t)filter->origins };

	message = kern_rtnl_put(message, INET_DIAG_REQ_BYTECODE, tests, count * sizeof(tests[0]));
	if (filter->origins > 0)
		message = kern_rtnl_put(message, INET_DIAG_REQ_SK_BPF_STORAGES, &map, sizeof(map));
	return message;
}

/* ---- The answer ---- */

struct sock_reading {
	const struct kern_sock_filter *filter;
	void (*found)(void *context, const struct kern_sock *sock);
	void *context;
};

/* The IPv4 address in WORDS of a socket of FAMILY. False: it has another. */
static bool kern_sock_read_ip(uint8_t family, const uint32_t words[static 4], uint32_t *ip)
{
	if (family == AF_INET) {
		*ip = ntohl(words[0]);
		return true;
	}
	*ip = ntohl(words[3]);
	return words[0] == 0 && words[1] == 0 && words[2] == htonl(0xffff);
}

static bool kern_sock_is_wanted(const struct kern_sock_filter *filter, const struct kern_sock *sock)
{
	if (filter->dest_port && filter->dest_port != sock->dest_port)
		return false;
	if (filter->asked && (sock->led ? !addr_equal(filter->asked, &sock->asked) : !filter->untold))
		return false;
	if (filter->led_only && !sock->led)
		return false;
	if (filter->spare && filter->spare(filter->spare_context, sock))
		return false;
	for (size_t i = 0; i < filter->dest_count; i++)
		if (filter->dest_ips[i] == sock->dest_ip &&
		    (!filter->led_before_ns || !sock->led || sock->since_ns < filter->led_before_ns[i]))
			return true;
	return false;
}

/* The beginning of struct tcp_info as kernels have had it since 4.2. libnl's headers bring glibc's, which ends before the bytes. */
struct sock_info {
	uint8_t flags[8];
	uint32_t numbers[24];
	uint64_t rates[2];
	uint64_t bytes_acked, bytes_received;
};

static void kern_sock_read_info(struct kern_sock *sock, const struct nlattr *attr)
{
	struct sock_info info;

	if (!attr || nla_len(attr) < (int)sizeof(info))
		return;
	memcpy(&info, nla_data(attr), sizeof(info));
	sock->has_counts = true;
	/* The kernel counts the SYN, too. */
	sock->sent = info.bytes_acked ? info.bytes_acked - 1 : 0;
	sock->received = info.bytes_received;
}

/* A socket may have been led once, and have gone elsewhere since. */
static void kern_sock_read_origin(struct kern_sock *sock, const struct nlattr *storages)
{
	const struct nlattr *found[SK_DIAG_BPF_STORAGE + 1], *storage[SK_DIAG_BPF_STORAGE_MAP_VALUE + 1];
	const struct nlattr *value;
	struct loopback_origin origin;

	if (!storages)
		return;
	kern_rtnl_nested(storages, found, SK_DIAG_BPF_STORAGE + 1);
	if (!found[SK_DIAG_BPF_STORAGE])
		return;
	kern_rtnl_nested(found[SK_DIAG_BPF_STORAGE], storage, SK_DIAG_BPF_STORAGE_MAP_VALUE + 1);
	value = storage[SK_DIAG_BPF_STORAGE_MAP_VALUE];
	if (!value || nla_len(value) < (int)sizeof(origin))
		return;
	memcpy(&origin, nla_data(value), sizeof(origin));
	if (ntohl(origin.host_ip) != sock->dest_ip || ntohs(origin.guest_port) != sock->dest_port)
		return;
	if (origin.asked.family == LOOPBACK_INET) {
		sock->asked = addr_from_ipv4(ntohl(origin.asked.ip[0]), ntohs(origin.asked.port));
	} else if (origin.asked.family == LOOPBACK_INET6) {
		sock->asked = addr_loopback6(ntohs(origin.asked.port));
		memcpy(&sock->asked.in6.sin6_addr, origin.asked.ip, sizeof(origin.asked.ip));
	} else {
		return;
	}
	sock->led = true;
	sock->since_ns = origin.since_ns;
}

static int kern_sock_take(const struct nlmsghdr *header, void *context)
{
	const struct sock_reading *reading = context;
	const struct nlattr *table[ATTRIBUTES];
	struct kern_sock sock = { 0 };
	struct inet_diag_msg *told = &sock.identity;
	uint32_t local;

	if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY || nlmsg_datalen(header) < (int)sizeof(*told))
		return 0;
	memcpy(told, nlmsg_data(header), sizeof(*told));
	if ((told->idiag_family != AF_INET && told->idiag_family != AF_INET6) ||
	    !kern_sock_read_ip(told->idiag_family, told->id.idiag_dst, &sock.dest_ip) ||
	    !kern_sock_read_ip(told->idiag_family, told->id.idiag_src, &local))
		return 0;
	sock.dest_port = ntohs(told->id.idiag_dport);
	sock.local = addr_from_ipv4(local, ntohs(told->id.idiag_sport));
	sock.connecting = told->idiag_state == SYN_SENT || told->idiag_state == SYN_RECV;
	sock.closing = !sock.connecting && told->idiag_state != ESTABLISHED;
	sock.uid = told->idiag_uid;
	kern_rtnl_attributes(header, sizeof(*told), table, ATTRIBUTES);
	kern_sock_read_info(&sock, table[INET_DIAG_INFO]);
	kern_sock_read_origin(&sock, table[INET_DIAG_SK_BPF_STORAGES]);
	if (kern_sock_is_wanted(reading->filter, &sock))
		reading->found(reading->context, &sock);
	return 0;
}

int kern_sock_list_to(const struct kern_sock_filter *filter, void (*found)(void *context, const struct kern_sock *sock),
		      void *context, struct err *err)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	struct sock_reading reading = { filter, found, context };
	struct kern_rtnl diag;
	int result = 0;

	if (!filter->dest_count)
		return 0;
	if (kern_rtnl_open(&diag, -1, NETLINK_SOCK_DIAG, err) < 0)
		return -1;
	for (size_t i = 0; result == 0 && i < sizeof(families); i++)
		result = kern_rtnl_ask(&diag, kern_sock_request(filter, families[i]), kern_sock_take, &reading, err,
				       "sockets of clients");
	kern_rtnl_close(&diag);
	return result;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The datagrams lie where recvmmsg() has put them, and sendmmsg() sends them from there.
 *
 * A socket that is bound to all addresses says with each datagram where it came to (IP_PKTINFO, IPV6_RECVPKTINFO), and is told with
 * each answer where it is to leave from. The interface is left to the kernel's routes, but for link-local addresses, which mean
 * nothing without.
 */
#include "forwarder/udp_batch.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { DATAGRAM = 64 * 1024 }; /* the largest, with room */

union udp_control {
	struct cmsghdr head; /* aligns */
	char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

struct udp_batch {
	struct mmsghdr messages[UDP_BATCH];
	struct iovec parts[UDP_BATCH];
	struct udp_ends ends[UDP_BATCH];
	union udp_control controls[UDP_BATCH];
	char data[UDP_BATCH][DATAGRAM];
};

struct udp_batch *fwd_udp_batch_new(void)
{
	return malloc(sizeof(struct udp_batch));
}

/* An answer can leave from no multicast address. */
static struct addr fwd_udp_batch_of_in6(const struct in6_pktinfo *info)
{
	struct addr local = { 0 };

	if (IN6_IS_ADDR_MULTICAST(&info->ipi6_addr) || IN6_IS_ADDR_UNSPECIFIED(&info->ipi6_addr))
		return local;
	local.in6.sin6_family = AF_INET6;
	local.in6.sin6_addr = info->ipi6_addr;
	if (IN6_IS_ADDR_LINKLOCAL(&info->ipi6_addr))
		local.in6.sin6_scope_id = info->ipi6_ifindex;
	return local;
}

/* IPI_SPEC_DST is where an answer is to come from, also where IPI_ADDR is a broadcast or multicast address. */
static struct addr fwd_udp_batch_of_in(const struct in_pktinfo *info)
{
	struct addr local = { 0 };

	if (info->ipi_spec_dst.s_addr == htonl(INADDR_ANY))
		return local;
	local.in.sin_family = AF_INET;
	local.in.sin_addr = info->ipi_spec_dst;
	return local;
}

static struct addr fwd_udp_batch_read_local(struct msghdr *message)
{
	for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head; head = CMSG_NXTHDR(message, head)) {
		struct in6_pktinfo in6;
		struct in_pktinfo in;

		if (head->cmsg_level == IPPROTO_IPV6 && head->cmsg_type == IPV6_PKTINFO) {
			memcpy(&in6, CMSG_DATA(head), sizeof(in6));
			return fwd_udp_batch_of_in6(&in6);
		}
		if (head->cmsg_level == IPPROTO_IP && head->cmsg_type == IP_PKTINFO) {
			memcpy(&in, CMSG_DATA(head), sizeof(in));
			return fwd_udp_batch_of_in(&in);
		}
	}
	return (struct addr){ 0 };
}

/* Returns the length of CONTROL; 0: there is nothing to say. */
static size_t fwd_udp_batch_write_local(const struct addr *local, union udp_control *control)
{
	*control = (union udp_control){ 0 };
	if (local->any.sa_family == AF_INET6) {
		const struct in6_pktinfo info = { .ipi6_addr = local->in6.sin6_addr,
						  .ipi6_ifindex = local->in6.sin6_scope_id };

		control->head.cmsg_level = IPPROTO_IPV6;
		control->head.cmsg_type = IPV6_PKTINFO;
		control->head.cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(&control->head), &info, sizeof(info));
		return CMSG_SPACE(sizeof(info));
	}
	if (local->any.sa_family == AF_INET) {
		const struct in_pktinfo info = { .ipi_spec_dst = local->in.sin_addr };

		control->head.cmsg_level = IPPROTO_IP;
		control->head.cmsg_type = IP_PKTINFO;
		control->head.cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(&control->head), &info, sizeof(info));
		return CMSG_SPACE(sizeof(info));
	}
	return 0;
}

/* MOST datagrams. Returns how many came. */
static unsigned fwd_udp_batch_take(struct udp_batch *batch, int fd, unsigned most, int flags)
{
	int count;

	for (size_t i = 0; i < most; i++) {
		batch->parts[i] = (struct iovec){ .iov_base = batch->data[i], .iov_len = DATAGRAM };
		batch->messages[i].msg_hdr = (struct msghdr){ .msg_iov = &batch->parts[i],
							      .msg_iovlen = 1,
							      .msg_name = &batch->ends[i].client,
							      .msg_namelen = sizeof(batch->ends[i].client),
							      .msg_control = &batch->controls[i],
							      .msg_controllen = sizeof(batch->controls[i]) };
	}
	/* An error is that of an earlier datagram (ECONNREFUSED): it is reported once, and is of no use to anybody here. */
	count = recvmmsg(fd, batch->messages, most, MSG_DONTWAIT | flags, NULL);
	for (int i = 0; i < count; i++)
		batch->ends[i].local = fwd_udp_batch_read_local(&batch->messages[i].msg_hdr);
	return count > 0 ? (unsigned)count : 0;
}

unsigned fwd_udp_batch_receive(struct udp_batch *batch, int fd)
{
	return fwd_udp_batch_take(batch, fd, UDP_BATCH, 0);
}

bool fwd_udp_batch_look(struct udp_batch *batch, int fd)
{
	return fwd_udp_batch_take(batch, fd, 1, MSG_PEEK) > 0;
}

const struct udp_ends *fwd_udp_batch_ends(const struct udp_batch *batch, unsigned index)
{
	return &batch->ends[index];
}

void fwd_udp_batch_address(struct udp_batch *batch, unsigned index, struct udp_ends *to)
{
	struct msghdr *message = &batch->messages[index].msg_hdr;

	batch->parts[index].iov_len = batch->messages[index].msg_len;
	message->msg_name = to ? &to->client : NULL;
	message->msg_namelen = to ? addr_length(&to->client) : 0;
	message->msg_control = &batch->controls[index];
	message->msg_controllen = to ? fwd_udp_batch_write_local(&to->local, &batch->controls[index]) : 0;
	if (!message->msg_controllen)
		message->msg_control = NULL;
}

uint64_t fwd_udp_batch_send(struct udp_batch *batch, unsigned first, unsigned end, int fd, unsigned *lost)
{
	uint64_t bytes = 0;

	*lost = 0;

	while (first < end) {
		int sent = sendmmsg(fd, &batch->messages[first], end - first, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent <= 0) {
			first++;
			++*lost;
			continue;
		}
		for (unsigned last = first + (unsigned)sent; first < last; first++)
			bytes += batch->messages[first].msg_len;
	}
	return bytes;
}

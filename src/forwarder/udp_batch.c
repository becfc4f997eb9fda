/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The datagrams lie where recvmmsg() has put them, and sendmmsg() sends them from there.
 */
#include "forwarder/udp_batch.h"

#include <stdlib.h>
#include <sys/socket.h>

enum { DATAGRAM = 64 * 1024 }; /* the largest, with room */

struct udp_batch {
	struct mmsghdr messages[UDP_BATCH];
	struct iovec parts[UDP_BATCH];
	struct addr from[UDP_BATCH];
	char data[UDP_BATCH][DATAGRAM];
};

struct udp_batch *fwd_udp_batch_new(void)
{
	return malloc(sizeof(struct udp_batch));
}

unsigned fwd_udp_batch_receive(struct udp_batch *batch, int fd)
{
	int count;

	for (size_t i = 0; i < UDP_BATCH; i++) {
		batch->parts[i] = (struct iovec){ .iov_base = batch->data[i], .iov_len = DATAGRAM };
		batch->messages[i].msg_hdr = (struct msghdr){ .msg_iov = &batch->parts[i],
							      .msg_iovlen = 1,
							      .msg_name = &batch->from[i],
							      .msg_namelen = sizeof(batch->from[i]) };
	}
	/* An error is that of an earlier datagram (ECONNREFUSED): it is reported once, and is of no use to anybody here. */
	count = recvmmsg(fd, batch->messages, UDP_BATCH, MSG_DONTWAIT, NULL);
	return count > 0 ? (unsigned)count : 0;
}

const struct addr *fwd_udp_batch_sender(const struct udp_batch *batch, unsigned index)
{
	return &batch->from[index];
}

void fwd_udp_batch_address(struct udp_batch *batch, unsigned index, struct addr *to)
{
	batch->parts[index].iov_len = batch->messages[index].msg_len;
	batch->messages[index].msg_hdr.msg_name = to;
	batch->messages[index].msg_hdr.msg_namelen = to ? addr_length(to) : 0;
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

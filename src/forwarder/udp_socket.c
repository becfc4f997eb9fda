/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A buffer's size is a limit, and no memory: net.ipv4.udp_mem bounds what the sockets of all programs hold together.
 *
 * SO_MEMINFO is asked, and not SO_RXQ_OVFL: that one tells of a loss with the next datagram, and the end of a burst has none.
 */
#include "forwarder/udp_socket.h"

#include "base/addr.h"

#include <linux/sock_diag.h>
#include <sys/socket.h>

void fwd_udp_socket_prepare(int fd, const struct addr *listen)
{
	static const int room = UDP_RECEIVE_BYTES, on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	if (!listen || !addr_is_wildcard(listen))
		return;
	if (listen->any.sa_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
	else
		(void)setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
}

uint32_t fwd_udp_socket_drops(int fd, uint32_t *drops)
{
	uint32_t values[SK_MEMINFO_VARS] = { 0 }, before = *drops;
	socklen_t size = sizeof(values);

	if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, values, &size) < 0)
		return 0;
	*drops = values[SK_MEMINFO_DROPS];
	return *drops - before;
}

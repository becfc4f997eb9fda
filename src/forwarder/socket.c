/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options are set without a look at the result: a kernel that lacks one leaves the connection as good as it was.
 *
 * A paused guest answers nothing for as long as its manager likes. Segments under way when it froze are sent again each second,
 * where the kernel offers that (6.15 and newer). Elsewhere TCP's back-off has grown to minutes by the time the guest resumes.
 */
#include "forwarder/socket.h"

#include "base/addr.h"

#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44 /* linux/tcp.h */
#endif

#ifndef SO_ORIGINAL_DST
#define SO_ORIGINAL_DST 80 /* linux/netfilter_ipv4.h */
#endif

enum {
	KEEPALIVE_PROBES = 4,
	RTO_MAX_FROZEN_MS = 1000,    /* the kernel's minimum */
	RTO_MAX_DEFAULT_MS = 120000, /* the kernel's default */
};

static void fwd_socket_set(int fd, int level, int option, int value)
{
	setsockopt(fd, level, option, &value, sizeof(value));
}

void fwd_socket_end_by_reset(int fd, bool reset)
{
	struct linger linger = { .l_onoff = reset, .l_linger = 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

int fwd_socket_cookie(int fd, uint64_t *cookie)
{
	socklen_t size = sizeof(*cookie);

	*cookie = 0;
	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, cookie, &size);
}

int fwd_socket_original(int fd, struct addr *addr)
{
	socklen_t size = sizeof(addr->in);

	*addr = (struct addr){ 0 };
	return getsockopt(fd, IPPROTO_IP, SO_ORIGINAL_DST, &addr->in, &size);
}

void fwd_socket_reset(int *fd)
{
	if (*fd < 0)
		return;
	fwd_socket_end_by_reset(*fd, true);
	close(*fd);
	*fd = -1;
}

int fwd_socket_error(int fd)
{
	int error = 0;
	socklen_t size = sizeof(error);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		return 0;
	return error;
}

bool fwd_socket_is_over(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t size = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_state == TCP_CLOSE;
}

void fwd_socket_set_keepalive(int fd, unsigned keepalive_ms)
{
	int seconds = (int)((keepalive_ms + 999) / 1000);

	if (!keepalive_ms) {
		fwd_socket_set(fd, SOL_SOCKET, SO_KEEPALIVE, 0);
		return;
	}
	fwd_socket_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds);
	fwd_socket_set(fd, IPPROTO_TCP, TCP_KEEPINTVL, seconds);
	fwd_socket_set(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
	fwd_socket_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}

void fwd_socket_set_pace(int fd, uint64_t bytes_per_second)
{
	/* All bits set mean no limit. Where the kernel has no pacing, the limit at the guest's end remains. */
	uint64_t pace = bytes_per_second ? bytes_per_second : UINT64_MAX;

	setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &pace, sizeof(pace));
}

void fwd_socket_freeze(int fd)
{
	fwd_socket_set(fd, SOL_SOCKET, SO_KEEPALIVE, 0);
	fwd_socket_set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, INT_MAX);
	fwd_socket_set(fd, IPPROTO_TCP, TCP_RTO_MAX_MS, RTO_MAX_FROZEN_MS);
}

void fwd_socket_thaw(int fd)
{
	fwd_socket_set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 0);
	fwd_socket_set(fd, IPPROTO_TCP, TCP_RTO_MAX_MS, RTO_MAX_DEFAULT_MS);
}

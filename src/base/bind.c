/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SO_REUSEADDR lets a new run have an address while connections of the former one are in TIME_WAIT.
 */
#include "base/bind.h"

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/err.h"

#include <errno.h>

/* Without SO_BROADCAST connect(2) refuses one. It sends nothing. */
bool base_is_broadcast(const struct addr *addr)
{
	struct addr probe = *addr;

	if (addr->any.sa_family != AF_INET || addr_is_loopback(addr) || addr_is_wildcard(addr))
		return false;
	AUTO_FD int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	addr_set_port(&probe, 9);
	return fd >= 0 && connect(fd, &probe.any, addr_length(&probe)) < 0 && errno == EACCES;
}

int base_bind(const struct addr *addr, int type, struct err *err)
{
	AUTO_FD int fd = socket(addr->any.sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1;

	if (fd < 0)
		return err_set(err, errno, "socket");
	/* With UDP it would allow to steal another's port. */
	if (type == SOCK_STREAM && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
		return err_set(err, errno, "SO_REUSEADDR");
	if (addr->any.sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0)
		return err_set(err, errno, "IPV6_V6ONLY");
	if (bind(fd, &addr->any, addr_length(addr)) < 0)
		return err_set(err, errno, "bind");
	if (base_is_broadcast(addr))
		return err_set(err, EADDRNOTAVAIL, "bind: a broadcast address");
	return steal_fd(&fd);
}

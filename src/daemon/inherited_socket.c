/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A descriptor counts only if the kernel says that it listens, on an address of the host's namespace.
 */
#include "daemon/inherited_socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

static int daemon_inherited_socket_ask(int fd, int option)
{
	int value;
	socklen_t size = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &size) < 0 ? -1 : value;
}

static uint64_t daemon_inherited_socket_namespace(int fd)
{
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);

	return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) < 0 ? 0 : cookie;
}

uint64_t daemon_inherited_socket_host(void)
{
	int fresh = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint64_t host = fresh >= 0 ? daemon_inherited_socket_namespace(fresh) : 0;

	if (fresh >= 0)
		close(fresh);
	return host;
}

bool daemon_inherited_socket_is_queue(int fd)
{
	return daemon_inherited_socket_ask(fd, SO_DOMAIN) == AF_UNIX &&
	       daemon_inherited_socket_ask(fd, SO_TYPE) == SOCK_SEQPACKET;
}

static bool daemon_inherited_socket_is_connected(int fd)
{
	struct sockaddr_storage peer;
	socklen_t size = sizeof(peer);

	return getpeername(fd, (struct sockaddr *)&peer, &size) == 0 || errno != ENOTCONN;
}

/* Whether ADDRESS, of SIZE bytes, names something that can be listened on. */
static bool daemon_inherited_socket_is_whole(const union addr_socket *address, socklen_t size)
{
	switch (address->any.sa_family) {
	case AF_INET:
		return size == sizeof(struct sockaddr_in) && addr_port(&address->addr);
	case AF_INET6:
		return size == sizeof(struct sockaddr_in6) && addr_port(&address->addr);
	case AF_UNIX:
		/* A path, and neither an abstract name nor none at all. */
		return size > sizeof(sa_family_t) + 1 && size <= sizeof(struct sockaddr_un) &&
		       address->path.sun_path[0] == '/' &&
		       memchr(address->path.sun_path, '\0', sizeof(address->path.sun_path));
	default:
		return false;
	}
}

bool daemon_inherited_socket_describe(int fd, uint64_t host, struct inherited_socket *found)
{
	socklen_t size = sizeof(found->address);
	struct stat status;
	int type;
	bool internet, tcp, udp;

	*found = (struct inherited_socket){ .fd = fd };
	if (fstat(fd, &status) < 0 || !S_ISSOCK(status.st_mode) || getsockname(fd, &found->address.any, &size) < 0 ||
	    !daemon_inherited_socket_is_whole(&found->address, size))
		return false;
	type = daemon_inherited_socket_ask(fd, SO_TYPE);
	internet = found->address.any.sa_family != AF_UNIX;
	tcp = type == SOCK_STREAM && daemon_inherited_socket_ask(fd, SO_ACCEPTCONN) == 1 &&
	      (!internet || daemon_inherited_socket_ask(fd, SO_PROTOCOL) == IPPROTO_TCP);
	udp = type == SOCK_DGRAM && internet && daemon_inherited_socket_ask(fd, SO_PROTOCOL) == IPPROTO_UDP &&
	      !daemon_inherited_socket_is_connected(fd);
	found->inode = status.st_ino;
	found->proto = udp ? PROTO_UDP : PROTO_TCP;
	return (tcp || udp) && daemon_inherited_socket_namespace(fd) == host;
}

/* ---- Order ---- */

static int daemon_inherited_socket_compare_address(const union addr_socket *a, const union addr_socket *b)
{
	if (a->any.sa_family != b->any.sa_family)
		return a->any.sa_family < b->any.sa_family ? -1 : 1;
	if (a->any.sa_family == AF_UNIX)
		return strcmp(a->path.sun_path, b->path.sun_path);
	if (addr_port(&a->addr) != addr_port(&b->addr))
		return addr_port(&a->addr) < addr_port(&b->addr) ? -1 : 1;
	if (a->any.sa_family == AF_INET6)
		return memcmp(&a->addr.in6.sin6_addr, &b->addr.in6.sin6_addr, sizeof(struct in6_addr));
	return memcmp(&a->addr.in.sin_addr, &b->addr.in.sin_addr, sizeof(struct in_addr));
}

int daemon_inherited_socket_compare_key(const struct inherited_socket *a, const struct inherited_socket *b)
{
	if (a->proto != b->proto)
		return a->proto < b->proto ? -1 : 1;
	return daemon_inherited_socket_compare_address(&a->address, &b->address);
}

int daemon_inherited_socket_compare(const void *left, const void *right)
{
	const struct inherited_socket *a = left, *b = right;
	int order = daemon_inherited_socket_compare_key(a, b);

	return order || a->inode == b->inode ? order : a->inode < b->inode ? -1 : 1;
}

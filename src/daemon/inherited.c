/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All sockets go to the store under one FDNAME: LISTEN_FDNAMES is a single string of at most 128 KiB, so names of their own would
 * end the daemon's next start at some thousand listeners. Inherited sockets are sorted by address once, and found by bisection.
 */
#include "daemon/inherited.h"

#include "base/log.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef HAVE_LIBSYSTEMD
#include <systemd/sd-daemon.h>
#endif

enum {
	FDS_PER_MESSAGE = 253,
	BARRIER_US = 5 * 1000 * 1000, /* a service manager that is slower has other worries */
};

struct socket_entry {
	struct addr addr;
	enum proto proto;
	int fd; /* -1: taken */
};

struct inherited {
	size_t count;
	struct socket_entry entries[];
};

static int daemon_inherited_compare(const void *a, const void *b)
{
	const struct socket_entry *left = a, *right = b;

	if (left->proto != right->proto)
		return left->proto < right->proto ? -1 : 1;
	if (left->addr.any.sa_family != right->addr.any.sa_family)
		return left->addr.any.sa_family < right->addr.any.sa_family ? -1 : 1;
	if (addr_port(&left->addr) != addr_port(&right->addr))
		return addr_port(&left->addr) < addr_port(&right->addr) ? -1 : 1;
	if (left->addr.any.sa_family == AF_INET6)
		return memcmp(&left->addr.in6.sin6_addr, &right->addr.in6.sin6_addr, sizeof(struct in6_addr));
	return memcmp(&left->addr.in.sin_addr, &right->addr.in.sin_addr, sizeof(struct in_addr));
}

#ifdef HAVE_LIBSYSTEMD
static bool daemon_inherited_describe(int fd, struct socket_entry *entry)
{
	socklen_t length = sizeof(entry->addr);
	int type;
	socklen_t type_length = sizeof(type);

	memset(entry, 0, sizeof(*entry));
	if (getsockname(fd, &entry->addr.any, &length) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_length) < 0)
		return false;
	if (entry->addr.any.sa_family != AF_INET && entry->addr.any.sa_family != AF_INET6)
		return false;
	entry->proto = type == SOCK_DGRAM ? PROTO_UDP : PROTO_TCP;
	entry->fd = fd;
	return true;
}

struct inherited *daemon_inherited_receive(void)
{
	int count = sd_listen_fds(1);

	if (count <= 0)
		return NULL;
	struct inherited *inherited = calloc(1, sizeof(*inherited) + (size_t)count * sizeof(inherited->entries[0]));
	if (!inherited)
		return NULL;
	for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + count; fd++) {
		if (daemon_inherited_describe(fd, &inherited->entries[inherited->count]))
			inherited->count++;
		else
			close(fd);
	}
	/* They are ours now; those still open when we stop are stored anew. */
	sd_notify(0, "FDSTOREREMOVE=1\nFDNAME=weft");
	qsort(inherited->entries, inherited->count, sizeof(inherited->entries[0]), daemon_inherited_compare);
	log_info("listening sockets taken over from the service manager", F_UINT("count", inherited->count));
	return inherited;
}

void daemon_inherited_store(const int *fds, size_t count)
{
	/*
	 * FDPOLL=0, because a socket that has an error pending is still ours to keep. The barrier, because the service manager
	 * cannot assign a message to our unit once its sender has ended, and drops it with the sockets.
	 */
	for (size_t first = 0; first < count; first += FDS_PER_MESSAGE) {
		unsigned some = (unsigned)(count - first < FDS_PER_MESSAGE ? count - first : FDS_PER_MESSAGE);

		if (sd_pid_notify_with_fds(0, 0, "FDSTORE=1\nFDNAME=weft\nFDPOLL=0", fds + first, some) < 0)
			log_warning("sockets not handed to the service manager", F_UINT("count", some));
	}
	if (count && sd_notify_barrier(0, BARRIER_US) < 0)
		log_warning("service manager does not say that it has the sockets");
}
#else
struct inherited *daemon_inherited_receive(void)
{
	return NULL;
}

void daemon_inherited_store(const int *fds, size_t count)
{
	(void)fds;
	(void)count;
}
#endif

int daemon_inherited_take(struct inherited *inherited, const struct addr *listen, enum proto proto)
{
	struct socket_entry wanted = { .addr = *listen, .proto = proto, .fd = -1 };
	struct socket_entry *found;

	if (!inherited || !inherited->count)
		return -1;
	found = bsearch(&wanted, inherited->entries, inherited->count, sizeof(inherited->entries[0]),
			daemon_inherited_compare);
	if (!found)
		return -1;
	int fd = found->fd;
	found->fd = -1;
	return fd;
}

size_t daemon_inherited_count(const struct inherited *inherited)
{
	return inherited ? inherited->count : 0;
}

size_t daemon_inherited_peek(const struct inherited *inherited, int *fds, size_t room)
{
	size_t count = 0;

	for (size_t i = 0; inherited && i < inherited->count && count < room; i++)
		if (inherited->entries[i].fd >= 0)
			fds[count++] = inherited->entries[i].fd;
	return count;
}

void daemon_inherited_free(struct inherited *inherited)
{
	if (!inherited)
		return;
	for (size_t i = 0; i < inherited->count; i++)
		if (inherited->entries[i].fd >= 0)
			close(inherited->entries[i].fd);
	free(inherited);
}

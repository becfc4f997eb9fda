/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /proc/net/tcp and its siblings list the sockets of this namespace with their inodes; the holder is the process that
 * has a descriptor of that inode.
 */
#include "daemon/port_holder.h"

#include "inspect/socket_holder.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TCP_STATE_TIME_WAIT = 0x06, TCP_STATE_LISTEN = 0x0a, UDP_STATE_UNCONNECTED = 0x07 };

struct socket_row {
	struct addr local;
	unsigned state;
	unsigned uid;
	unsigned long inode; /* 0: no process has the socket */
};

/* The addresses are printed as 32-bit words in host order of the machine. */
static bool daemon_port_holder_parse_row(const char *line, bool ipv6, struct socket_row *row)
{
	char host[40];
	unsigned port;

	if (sscanf(line, " %*u: %39[0-9A-F]:%4x %*[0-9A-F]:%*x %2x %*x:%*x %*x:%*x %*x %u %*u %lu", host, &port,
		   &row->state, &row->uid, &row->inode) != 5)
		return false;
	memset(&row->local, 0, sizeof(row->local));
	if (!ipv6) {
		row->local.in.sin_family = AF_INET;
		row->local.in.sin_addr.s_addr = (uint32_t)strtoul(host, NULL, 16);
	} else {
		row->local.in6.sin6_family = AF_INET6;
		for (int i = 0; i < 4; i++) {
			char word[9] = { 0 };

			memcpy(word, host + 8 * i, 8);
			row->local.in6.sin6_addr.s6_addr32[i] = (uint32_t)strtoul(word, NULL, 16);
		}
	}
	addr_set_port(&row->local, (uint16_t)port);
	return true;
}

static void daemon_port_holder_search_table(const char *path, bool ipv6, const struct addr *listen,
					    struct socket_row *found, bool *any, bool *listener)
{
	FILE *table = fopen(path, "re");
	char line[512];

	if (!table)
		return;
	while (fgets(line, sizeof(line), table)) {
		struct socket_row row;

		if (!daemon_port_holder_parse_row(line, ipv6, &row) || !addr_is_in_the_way(&row.local, listen))
			continue;
		bool listens = row.state == TCP_STATE_LISTEN || row.state == UDP_STATE_UNCONNECTED;
		if (!*any || (listens && !*listener))
			*found = row;
		*any = true;
		*listener |= listens;
	}
	fclose(table);
}

static bool daemon_port_holder_process_has(const char *pid, unsigned long inode)
{
	char path[300], target[64], wanted[64];
	bool has = false;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	snprintf(wanted, sizeof(wanted), "socket:[%lu]", inode);
	DIR *fds = opendir(path);
	if (!fds)
		return false;
	for (struct dirent *entry; !has && (entry = readdir(fds));) {
		ssize_t length = readlinkat(dirfd(fds), entry->d_name, target, sizeof(target) - 1);

		if (length <= 0)
			continue;
		target[length] = '\0';
		has = strcmp(target, wanted) == 0;
	}
	closedir(fds);
	return has;
}

/* If process PID has the socket, writes that to TEXT. */
static bool daemon_port_holder_try_process(const struct socket_holder *holder, const char *pid, char *text, size_t size)
{
	char path[300], name[32] = "?";

	if (!daemon_port_holder_process_has(pid, holder->inode))
		return false;
	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	FILE *comm = fopen(path, "re");
	if (comm) {
		if (fgets(name, sizeof(name), comm))
			name[strcspn(name, "\n")] = '\0';
		fclose(comm);
	}
	snprintf(text, size, "%s (pid %.20s) of uid %u", name, pid, holder->uid);
	return true;
}

/*
 * Writes the process that has the socket to TEXT, if it is visible. This one comes last, because the kernel makes an entry of /proc for
 * each of its thousands of descriptors, and takes them apart at its end, while a restart waits.
 */
static void daemon_port_holder_name_process(const struct socket_holder *holder, char *text, size_t size)
{
	DIR *processes = opendir("/proc");
	char own[24];
	ssize_t length = readlink("/proc/self", own, sizeof(own) - 1);
	bool found = false;

	own[length > 0 ? length : 0] = '\0';
	for (struct dirent *entry; processes && !found && (entry = readdir(processes));)
		found = isdigit((unsigned char)entry->d_name[0]) && strcmp(entry->d_name, own) != 0 &&
			daemon_port_holder_try_process(holder, entry->d_name, text, size);
	if (processes && !found && own[0])
		daemon_port_holder_try_process(holder, own, text, size);
	if (processes)
		closedir(processes);
}

/* The tables of LISTEN's own family first: a socket of IPv6 can stand in the way of IPv4, and not the other way round. */
static void daemon_port_holder_search(const struct addr *listen, enum proto proto, struct socket_row *row,
				      struct socket_holder *holder)
{
	bool ipv4 = listen->any.sa_family == AF_INET;
	bool tcp = proto == PROTO_TCP;

	if (ipv4)
		daemon_port_holder_search_table(tcp ? "/proc/thread-self/net/tcp" : "/proc/thread-self/net/udp", false,
						listen, row, &holder->found, &holder->listening);
	if (!ipv4 || !holder->listening)
		daemon_port_holder_search_table(tcp ? "/proc/thread-self/net/tcp6" : "/proc/thread-self/net/udp6", true,
						listen, row, &holder->found, &holder->listening);
}

void daemon_port_holder_look(const struct addr *listen, enum proto proto, struct socket_holder *holder)
{
	struct socket_row row = { 0 };

	memset(holder, 0, sizeof(*holder));
	daemon_port_holder_search(listen, proto, &row, holder);
	holder->uid = row.uid;
	holder->inode = row.inode;
	holder->ended = holder->found && !row.inode && !holder->listening;
	if (holder->ended && proto == PROTO_TCP && row.state == TCP_STATE_TIME_WAIT)
		snprintf(holder->text, sizeof(holder->text),
			 "a connection that has ended, for up to a minute (TIME_WAIT)");
	else if (holder->ended)
		snprintf(holder->text, sizeof(holder->text), "a connection that is ending");
	else if (holder->found && !row.inode)
		snprintf(holder->text, sizeof(holder->text), "the kernel itself, for no process");
	else if (holder->found)
		snprintf(holder->text, sizeof(holder->text), "a process of uid %u that is not visible from here",
			 row.uid);
	else
		snprintf(holder->text, sizeof(holder->text), "a process that is not visible from here");
}

/* A socket that is bound, and neither listens nor is connected, is in none of the kernel's tables. */
static void daemon_port_holder_find_bound(const struct addr *listen, enum proto proto, struct socket_holder *holder)
{
	struct inspect_socket_holder bound;

	if (!inspect_socket_holder(listen, proto == PROTO_TCP ? SOCK_STREAM : SOCK_DGRAM, &bound))
		return;
	holder->found = true;
	holder->uid = bound.uid;
	snprintf(holder->text, sizeof(holder->text), "%s (pid %d) of uid %u", bound.name, bound.pid, bound.uid);
}

void daemon_port_holder_find(const struct addr *listen, enum proto proto, struct socket_holder *holder)
{
	daemon_port_holder_look(listen, proto, holder);
	if (holder->inode)
		daemon_port_holder_name_process(holder, holder->text, sizeof(holder->text));
	else if (!holder->found)
		daemon_port_holder_find_bound(listen, proto, holder);
}

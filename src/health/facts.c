/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The facts of the real host, from procfs and inspect/. Sockets are traced to their processes through /proc/PID/fd, as ss(8)
 * does; without privileges only our own are visible. Whether an address is free, procfs does not tell: for that one is bound.
 */
#include "health/facts.h"

#include "base/bind.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "config/config.h"
#include "config/layouts.h"
#include "health/gather.h"
#include "inspect/socket_holder.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TCP_LISTEN_STATE = 0x0a, UNIX_LISTENS = 0x10000 };

char *health_read_file(void *context, const char *path)
{
	FILE *file = fopen(path, "re");
	char *text = NULL;
	size_t size = 0;

	(void)context;
	if (!file)
		return NULL;
	/* Files of procfs have no size; the text ends at the end of file. */
	ssize_t length = getdelim(&text, &size, '\0', file);
	fclose(file);
	if (length < 0) {
		free(text);
		return strdup("");
	}
	return text;
}

static const char *health_read_environment(void *context, const char *name)
{
	(void)context;
	return getenv(name);
}

/* By its own rights alone, as weftd's unit leaves it no others. An access list is not looked at. */
static bool health_root_may_write(const struct stat *status)
{
	if (status->st_uid == 0)
		return status->st_mode & S_IWUSR;
	return status->st_mode & (status->st_gid == 0 ? S_IWGRP : S_IWOTH);
}

static int health_socket_at(void *context, const char *path)
{
	struct stat status;

	(void)context;
	if (stat(path, &status) < 0)
		return errno;
	if (!S_ISSOCK(status.st_mode))
		return ENOTSOCK;
	return health_root_may_write(&status) ? 0 : EACCES;
}

/* It never listens, so that a weftd that starts meanwhile is not hindered and no client comes by. */
static int health_try_bind(void *context, const struct addr *addr)
{
	struct err err;
	AUTO_FD int fd = base_bind(addr, SOCK_STREAM, &err);

	(void)context;
	return fd < 0 ? err.code : 0;
}

static int health_find_bound(void *context, const struct addr *addr, char name[static 32], unsigned *uid)
{
	struct inspect_socket_holder holder;

	(void)context;
	if (!inspect_socket_holder(addr, SOCK_STREAM, &holder))
		return 0;
	memcpy(name, holder.name, sizeof(holder.name));
	*uid = holder.uid;
	return holder.pid;
}

/* The holders of all sockets, gathered at once, because a host has thousands. */
struct held {
	uint64_t inode;
	int pid;
};

struct holders {
	VEC_OF(struct held); /* by inode */
	bool incomplete;     /* no memory */
};

static void health_add_held(struct holders *holders, uint64_t inode, int pid)
{
	struct held *held = vec_push(holders);

	if (!held) {
		holders->incomplete = true;
		return;
	}
	*held = (struct held){ inode, pid };
}

/* Adds the sockets among the descriptors of process PID. */
static void health_add_process(struct holders *holders, const char *pid)
{
	char path[300], target[64];

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	DIR *dir = opendir(path);
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		uint64_t inode;
		ssize_t length = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
		if (length <= 0)
			continue;
		target[length] = '\0';
		if (sscanf(target, "socket:[%" SCNu64 "]", &inode) == 1)
			health_add_held(holders, inode, atoi(pid));
	}
	if (dir)
		closedir(dir);
}

static int health_compare_held(const void *left, const void *right)
{
	const struct held *a = left, *b = right;

	if (a->inode != b->inode)
		return a->inode < b->inode ? -1 : 1;
	return (a->pid > b->pid) - (a->pid < b->pid);
}

static struct holders *health_gather_holders(void)
{
	struct holders *holders = calloc(1, sizeof(*holders));
	DIR *dir = holders ? opendir("/proc") : NULL;

	for (struct dirent *entry; dir && (entry = readdir(dir));)
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			health_add_process(holders, entry->d_name);
	if (dir)
		closedir(dir);
	if (holders && holders->count)
		qsort(holders->items, holders->count, sizeof(holders->items[0]), health_compare_held);
	return holders;
}

/* Of several holders the youngest: a service manager that keeps a copy of the socket is older. NULL: none is visible. */
static const struct held *health_find_held(const struct holders *holders, uint64_t inode)
{
	size_t first = 0, end = holders ? holders->count : 0;

	/* The first that is of a later socket. */
	while (first < end) {
		size_t middle = first + (end - first) / 2;
		if (holders->items[middle].inode <= inode)
			first = middle + 1;
		else
			end = middle;
	}
	return first && holders->items[first - 1].inode == inode ? &holders->items[first - 1] : NULL;
}

static int health_find_holder(void *context, uint64_t inode, char name[static 32])
{
	const struct held *held = health_find_held(context, inode);
	char path[64];

	snprintf(name, 32, "?");
	if (!held)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/comm", held->pid);
	AUTO_FREE char *comm = health_read_file(NULL, path);
	if (comm)
		snprintf(name, 32, "%.*s", (int)strcspn(comm, "\n"), comm);
	return held->pid;
}

/* "0100007F", or four such words for IPv6, each in the host's byte order, as the kernel keeps the address. */
static bool health_read_hex_address(const char *hex, size_t words, void *address)
{
	for (size_t i = 0; i < words; i++) {
		char word[9] = { 0 };
		char *end;
		memcpy(word, hex + 8 * i, 8);
		uint32_t value = (uint32_t)strtoul(word, &end, 16);
		if (*end)
			return false;
		memcpy((char *)address + 4 * i, &value, 4);
	}
	return true;
}

/* Reads the address, the state and the inode of a line "  0: 0100007F:C34F 00000000:0000 0A ... inode". */
static bool health_read_socket(const char *line, bool ipv6, struct health_socket *found)
{
	char address[40];
	unsigned port, state;
	size_t digits = ipv6 ? 32 : 8;

	*found = (struct health_socket){ 0 };
	if (sscanf(line, " %*d: %39[0-9A-Fa-f]:%x %*39[0-9A-Fa-f]:%*x %x %*s %*s %*s %u %*d %" SCNu64, address, &port,
		   &state, &found->uid, &found->inode) != 5 ||
	    strlen(address) != digits || port > 65535)
		return false;
	if (ipv6) {
		found->local.in6.sin6_family = AF_INET6;
		if (!health_read_hex_address(address, 4, &found->local.in6.sin6_addr))
			return false;
	} else {
		found->local.in.sin_family = AF_INET;
		if (!health_read_hex_address(address, 1, &found->local.in.sin_addr))
			return false;
	}
	addr_set_port(&found->local, (uint16_t)port);
	found->listening = state == TCP_LISTEN_STATE;
	return true;
}

static void health_add_socket(struct health_facts *facts, const struct health_socket *found)
{
	struct health_socket *socket = vec_push(&facts->sockets);

	if (socket)
		*socket = *found;
	else
		facts->incomplete = true;
}

void health_add_sockets(struct health_facts *facts, const char *text, bool ipv6)
{
	for (const char *line = text; line && *line;) {
		struct health_socket found;
		const char *next = strchr(line, '\n');
		if (health_read_socket(line, ipv6, &found))
			health_add_socket(facts, &found);
		line = next ? next + 1 : NULL;
	}
}

static void health_add_netns_names(struct health_facts *facts, const char *path)
{
	DIR *dir = opendir(path);

	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		if (entry->d_name[0] == '.')
			continue;
		char *copy = strdup(entry->d_name);
		struct health_netns *netns = copy ? vec_push(&facts->netns_names) : NULL;
		if (netns) {
			*netns = (struct health_netns){ path, copy };
			continue;
		}
		free(copy);
		facts->incomplete = true;
	}
	if (dir)
		closedir(dir);
}

/* A number in the environment, as sudo leaves them; OTHERWISE if there is none. */
static uint32_t health_read_id(const char *name, uint32_t otherwise)
{
	const char *text = getenv(name);
	char *end;

	if (!text || *text < '0' || *text > '9')
		return otherwise;
	unsigned long value = strtoul(text, &end, 10);
	return *end || value >= UINT32_MAX ? otherwise : (uint32_t)value;
}

/* Those of each folder once. */
static void health_gather_netns_names(struct health_facts *facts)
{
	for (size_t i = 0; i < facts->layouts.count; i++) {
		const char *dir = facts->layouts.items[i].netns_dir;
		bool again = false;
		for (size_t j = 0; j < i; j++)
			again |= strcmp(facts->layouts.items[j].netns_dir, dir) == 0;
		if (!again)
			health_add_netns_names(facts, dir);
	}
}

static struct health_layout health_copy_layout(const struct config_layout *from)
{
	struct health_layout layout = { .link_group = from->link_group,
					.host_cidr = from->host_cidr,
					.veth_cidr = from->veth_cidr };

	snprintf(layout.netns_dir, sizeof(layout.netns_dir), "%s", from->netns_dir);
	snprintf(layout.netns_prefix, sizeof(layout.netns_prefix), "%s", from->netns_prefix);
	snprintf(layout.veth_prefix, sizeof(layout.veth_prefix), "%s", from->veth_prefix);
	return layout;
}

struct health_layout health_layout_of_config(const struct config *config)
{
	return health_copy_layout(&config->layout);
}

static bool health_is_same_layout(const struct health_layout *a, const struct health_layout *b)
{
	return strcmp(a->netns_dir, b->netns_dir) == 0 && strcmp(a->netns_prefix, b->netns_prefix) == 0 &&
	       strcmp(a->veth_prefix, b->veth_prefix) == 0 && a->link_group == b->link_group &&
	       addr_cidr4_equal(&a->host_cidr, &b->host_cidr) && addr_cidr4_equal(&a->veth_cidr, &b->veth_cidr);
}

void health_note_layout(struct health_facts *facts, const struct health_layout *layout)
{
	if (!layout->netns_dir[0] || !layout->netns_prefix[0] || !layout->veth_prefix[0] || !layout->link_group ||
	    !layout->host_cidr.length || !layout->veth_cidr.length)
		return;
	for (size_t i = 0; i < facts->layouts.count; i++)
		if (health_is_same_layout(&facts->layouts.items[i], layout))
			return;
	struct health_layout *copy = vec_push(&facts->layouts);
	if (copy)
		*copy = *layout;
	else
		facts->incomplete = true;
}

/* The layout of new slots stands first. */
static void health_put_layout_first(struct health_facts *facts, const struct health_layout *first)
{
	health_note_layout(facts, first);
	for (size_t i = 1; i < facts->layouts.count; i++) {
		struct health_layout *layout = &facts->layouts.items[i];
		if (!health_is_same_layout(layout, first))
			continue;
		*layout = facts->layouts.items[0];
		facts->layouts.items[0] = *first;
	}
}

void health_facts_begin(struct health_facts *facts, const char *socket)
{
	*facts = (struct health_facts){ .socket = socket,
					.read_text = health_read_file,
					.holder = health_find_holder,
					.environment = health_read_environment,
					.bound = health_find_bound,
					.try_bind = health_try_bind,
					.socket_at = health_socket_at,
					.try_filter = inspect_trial_run,
					.client_user = health_read_id("SUDO_UID", getuid()),
					.client_group = health_read_id("SUDO_GID", getgid()),
					.context = health_gather_holders() };
	const struct holders *holders = facts->context;
	facts->incomplete = !holders || holders->incomplete;
}

void health_facts_gather_door(struct health_facts *facts, const struct config *config, bool always)
{
	AUTO_FREE char *tcp = health_read_file(NULL, "/proc/net/tcp");
	AUTO_FREE char *tcp6 = health_read_file(NULL, "/proc/net/tcp6");

	health_add_sockets(facts, tcp, false);
	health_add_sockets(facts, tcp6, true);
	health_door_look(&facts->door, config, facts);
	if (always || health_door_is_used(&facts->door))
		health_door_ask_both(&facts->door);
}

void health_facts_gather(struct health_facts *facts, const struct config *config, const char *state_dir, int pid)
{
	const struct health_layout first = health_layout_of_config(config);
	const struct config_layout *layout;
	size_t at = 0;
	struct err err;

	facts->config = config;
	while ((layout = config_layout_next(config, &at))) {
		const struct health_layout copy = health_copy_layout(layout);
		health_note_layout(facts, &copy);
	}
	health_put_layout_first(facts, &first);
	inspect_host(&facts->host, &err);
	if (inspect_ruleset_read(&facts->ruleset, &err) < 0)
		snprintf(facts->ruleset_error, sizeof(facts->ruleset_error), "%s", err.text);
	if (inspect_features(facts->features_missing, sizeof(facts->features_missing), &err) < 0)
		snprintf(facts->features_error, sizeof(facts->features_error), "%s", err.text);

	health_facts_gather_door(facts, config, false);
	health_gather_netns_names(facts);
	health_gather_directory(&facts->state_directory, state_dir, pid);
	health_gather_orchestrators(facts);
}

void health_note_not_open(struct health_facts *facts, const char *what, const char *address, const char *proto,
			  const char *holder)
{
	static const char sandbox[] = "sandbox ";
	struct addr parsed;

	if (strncmp(what, sandbox, strlen(sandbox)) != 0 || addr_parse(address, &parsed) < 0)
		return;
	struct health_not_open *port = vec_push(&facts->said.not_open);
	if (!port) {
		facts->incomplete = true;
		return;
	}
	*port = (struct health_not_open){ .address = parsed, .udp = strcmp(proto, "udp") == 0 };
	snprintf(port->sandbox, sizeof(port->sandbox), "%s", what + strlen(sandbox));
	snprintf(port->holder, sizeof(port->holder), "%s", holder);
}

void health_note_port(struct health_facts *facts, uint16_t number)
{
	for (size_t i = 0; i < facts->said.guest_ports.count; i++)
		if (facts->said.guest_ports.items[i] == number)
			return;
	uint16_t *port = vec_push(&facts->said.guest_ports);
	if (port)
		*port = number;
	else
		facts->incomplete = true;
}

void health_facts_clear(struct health_facts *facts)
{
	inspect_host_clear(&facts->host);
	inspect_ruleset_clear(&facts->ruleset);
	vec_free(&facts->sockets);
	vec_free(&facts->said.not_open);
	vec_free(&facts->said.guest_ports);
	for (size_t i = 0; i < facts->netns_names.count; i++)
		free(facts->netns_names.items[i].name);
	vec_free(&facts->netns_names);
	vec_free(&facts->layouts);
	vec_free(&facts->orchestrators);
	/* A test's facts, which were not gathered here, have a context of the test's own. */
	if (facts->holder == health_find_holder) {
		struct holders *holders = facts->context;
		if (holders)
			vec_free(holders);
		free(holders);
	}
	*facts = (struct health_facts){ 0 };
}

bool health_read_number(const struct health_facts *facts, const char *path, long long *number)
{
	AUTO_FREE char *text = facts->read_text(facts->context, path);
	char *end;

	if (!text)
		return false;
	long long value = strtoll(text, &end, 10);
	if (end == text || (*end && *end != '\n') || value < INT_MIN || value > INT_MAX)
		return false;
	*number = value;
	return true;
}

/* Lines of /proc/net/unix: "Num: RefCount Protocol Flags Type St Inode Path". */
int health_daemon(const struct health_facts *facts)
{
	AUTO_FREE char *text = facts->read_text(facts->context, "/proc/net/unix");
	char *rest = text;

	for (char *line; rest && (line = strsep(&rest, "\n"));) {
		unsigned flags;
		uint64_t inode;
		char path[128], name[32];
		if (sscanf(line, "%*[^:]: %*x %*x %x %*x %*x %" SCNu64 " %127s", &flags, &inode, path) != 3 ||
		    !(flags & UNIX_LISTENS) || strcmp(path, facts->socket) != 0)
			continue;
		int pid = facts->holder(facts->context, inode, name);
		return pid ? pid : -1;
	}
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The unit is known by its files, and its processes by their control group, so that no service manager has to be asked. HAProxy without
 * the unit is the door's if its command line names the door's files, and not the edge's beside them. Other network namespaces, such as
 * those of containers, may have doors of their own.
 */
#include "health/front_door.h"

#include "base/cleanup.h"
#include "base/sandbox_name.h"
#include "config/config.h"
#include "health/facts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COMMAND_LINE_MAX = 4096, GROUP_ROOM = 16384 };

/* ---- The unit ---- */

/* Whether DIR has a file for the unit which is not masked. */
static bool health_door_has_unit(const char *dir, bool *masked)
{
	char path[128], target[16] = "";

	snprintf(path, sizeof(path), "%s/" HEALTH_DOOR_UNIT, dir);
	if (access(path, F_OK) < 0)
		return false;
	if (readlink(path, target, sizeof(target) - 1) > 0 && strcmp(target, "/dev/null") == 0)
		*masked = true;
	return !*masked;
}

static void health_door_look_unit(struct health_door *door)
{
	static const char *const dirs[] = { "/etc/systemd/system", "/run/systemd/system",
					    "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
					    "/lib/systemd/system" };
	struct stat status;
	bool masked = false;

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]) && !door->installed && !masked; i++)
		door->installed = health_door_has_unit(dirs[i], &masked);
	door->enabled =
	    door->installed && lstat("/etc/systemd/system/multi-user.target.wants/" HEALTH_DOOR_UNIT, &status) == 0;
}

/* ---- HAProxy ---- */

static bool health_door_is_named(const struct health_facts *facts, const char *pid, const char *name)
{
	char path[300];

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	AUTO_FREE char *comm = facts->read_text(facts->context, path);
	return comm && strncmp(comm, name, strlen(name)) == 0 && comm[strlen(name)] == '\n';
}

/* Where that cannot be seen, it is taken for one of ours. */
static bool health_door_is_here(const char *pid)
{
	char path[300], there[64] = "", here[64] = "";

	snprintf(path, sizeof(path), "/proc/%s/ns/net", pid);
	if (readlink(path, there, sizeof(there) - 1) < 0 || readlink("/proc/self/ns/net", here, sizeof(here) - 1) < 0)
		return errno == EACCES || errno == EPERM;
	return strcmp(there, here) == 0;
}

static bool health_door_is_of_unit(const struct health_facts *facts, const char *pid)
{
	char path[300];

	snprintf(path, sizeof(path), "/proc/%s/cgroup", pid);
	AUTO_FREE char *cgroup = facts->read_text(facts->context, path);
	const char *at = cgroup ? strstr(cgroup, "/" HEALTH_DOOR_UNIT) : NULL;
	return at && strchr("\n/", at[strlen("/" HEALTH_DOOR_UNIT)]);
}

/* The parent's pid; 0: not known. */
static int health_door_parent(const struct health_facts *facts, const char *pid)
{
	char path[300];
	int parent = 0;

	snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	AUTO_FREE char *text = facts->read_text(facts->context, path);
	const char *behind = text ? strrchr(text, ')') : NULL;
	return behind && sscanf(behind, ") %*c %d", &parent) == 1 ? parent : 0;
}

/* The values of "-f" on the command line of PID, with blanks between. */
static void health_door_read_files(const char *pid, char *files, size_t size)
{
	char path[300], line[COMMAND_LINE_MAX + 1];
	bool named = false;

	files[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%s/cmdline", pid);
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? 0 : read(fd, line, COMMAND_LINE_MAX);
	size_t length = got > 0 ? (size_t)got : 0;
	line[length] = '\0';
	for (const char *word = line; word < line + length; word += strlen(word) + 1) {
		size_t used = strlen(files);
		if (named && used + strlen(word) + 2 < size)
			snprintf(files + used, size - used, "%s%s", used ? " " : "", word);
		named = strcmp(word, "-f") == 0;
	}
}

/* Takes the process PID if it is the door's: a master, whose parent is no HAProxy, before others. */
static void health_door_take_process(struct health_door_proxy *proxy, const struct health_facts *facts, const char *pid)
{
	struct health_door_proxy found = { .pid = atoi(pid) };
	char parent[16];

	if (!health_door_is_named(facts, pid, "haproxy") || !health_door_is_here(pid))
		return;
	snprintf(parent, sizeof(parent), "%d", health_door_parent(facts, pid));
	if (health_door_is_named(facts, parent, "haproxy"))
		return;
	found.of_unit = health_door_is_of_unit(facts, pid);
	health_door_read_files(pid, found.files, sizeof(found.files));
	if (!found.of_unit && ((!strstr(found.files, "/weft/door") && !strstr(found.files, "weft-door")) ||
			       strstr(found.files, "/edge.cfg")))
		return;
	if (!proxy->pid || (found.of_unit && !proxy->of_unit))
		*proxy = found;
}

static void health_door_look_proxy(struct health_door *door, const struct health_facts *facts)
{
	DIR *dir = opendir("/proc");

	for (struct dirent *entry; dir && (entry = readdir(dir));)
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			health_door_take_process(&door->proxy, facts, entry->d_name);
	if (dir)
		closedir(dir);
}

/* ---- The socket ---- */

static void health_door_look_group(struct health_door *door, const char *name)
{
	AUTO_FREE char *room = malloc(GROUP_ROOM);
	struct group group, *found = NULL;

	if (!name)
		return;
	snprintf(door->group_name, sizeof(door->group_name), "%s", name);
	int code = room ? getgrnam_r(name, &group, room, GROUP_ROOM, &found) : ENOMEM;
	door->group_error = found ? 0 : code ? code : ENOENT;
	if (found)
		door->group = found->gr_gid;
}

/* "root:haproxy", with numbers for those who have no names. */
static void health_door_name_owners(const struct stat *status, char *text, size_t size)
{
	AUTO_FREE char *room = malloc(GROUP_ROOM);
	struct passwd user, *found_user = NULL;
	struct group group, *found_group = NULL;
	char owner[40], members[40];

	snprintf(owner, sizeof(owner), "%u", status->st_uid);
	snprintf(members, sizeof(members), "%u", status->st_gid);
	if (room && getpwuid_r(status->st_uid, &user, room, GROUP_ROOM, &found_user) == 0 && found_user)
		snprintf(owner, sizeof(owner), "%s", user.pw_name);
	if (room && getgrgid_r(status->st_gid, &group, room, GROUP_ROOM, &found_group) == 0 && found_group)
		snprintf(members, sizeof(members), "%s", group.gr_name);
	snprintf(text, size, "%s:%s", owner, members);
}

static void health_door_look_socket(struct health_door *door, const char *path)
{
	struct stat status;

	if (!path || !*path)
		return;
	snprintf(door->socket.path, sizeof(door->socket.path), "%s", path);
	if (stat(path, &status) < 0) {
		door->socket.error = errno;
		return;
	}
	door->socket.mode = status.st_mode;
	door->socket.group = status.st_gid;
	health_door_name_owners(&status, door->socket.owners, sizeof(door->socket.owners));
}

/* ---- The ports ---- */

/* Whether a process is HAProxy's master, or a worker of its. */
static bool health_door_is_ours(const struct health_door *door, const struct health_facts *facts, int pid, unsigned uid)
{
	char text[16];

	/* Without privileges no process of root's is visible, and HAProxy's listening sockets are root's. */
	if (!pid)
		return door->proxy.pid && uid == 0;
	snprintf(text, sizeof(text), "%d", pid);
	return pid == door->proxy.pid || (door->proxy.pid && health_door_parent(facts, text) == door->proxy.pid);
}

/* Who listens where WANTED is asked. */
static void health_door_find_holder(const struct health_facts *facts, const struct addr *wanted,
				    struct health_door_holder *holder)
{
	for (size_t i = 0; i < facts->sockets.count && !holder->listens; i++) {
		const struct health_socket *socket = &facts->sockets.items[i];
		if (!socket->listening || !addr_is_in_the_way(&socket->local, wanted))
			continue;
		*holder = (struct health_door_holder){ .listens = true, .at = socket->local, .uid = socket->uid };
		holder->pid = facts->holder(facts->context, socket->inode, holder->name);
	}
}

/* One that was set up by hand may have files of any name. */
static void health_door_take_holder(struct health_door *door, const struct health_facts *facts)
{
	char pid[16];

	if (door->proxy.pid || !door->local.listens || strcmp(door->local.name, "haproxy") != 0)
		return;
	snprintf(pid, sizeof(pid), "%d", door->local.pid);
	door->proxy.pid = door->local.pid;
	/* Its master, where it is a worker: both have the same command line. */
	int parent = health_door_parent(facts, pid);
	snprintf(pid, sizeof(pid), "%d", parent);
	if (health_door_is_named(facts, pid, "haproxy"))
		door->proxy.pid = parent;
	snprintf(pid, sizeof(pid), "%d", door->proxy.pid);
	door->proxy.of_unit = health_door_is_of_unit(facts, pid);
	health_door_read_files(pid, door->proxy.files, sizeof(door->proxy.files));
}

/* The addresses of HAProxy, where its processes are visible. */
static void health_door_list_addresses(struct health_door *door, const struct health_facts *facts)
{
	for (size_t i = 0; i < facts->sockets.count && door->listen_count < HEALTH_DOOR_LISTENS_MAX; i++) {
		const struct health_socket *socket = &facts->sockets.items[i];
		char name[32];
		int pid = socket->listening ? facts->holder(facts->context, socket->inode, name) : 0;
		if (pid && health_door_is_ours(door, facts, pid, socket->uid))
			door->listens[door->listen_count++] = socket->local;
	}
}

static void health_door_look_ports(struct health_door *door, const struct health_facts *facts)
{
	const struct addr local = addr_from_ipv4(INADDR_LOOPBACK, HEALTH_DOOR_PORT),
			  local6 = addr_loopback6(HEALTH_DOOR_PORT),
			  node = addr_from_ipv4(INADDR_ANY, HEALTH_DOOR_NODE_PORT);
	struct health_door_holder *const holders[] = { &door->local, &door->local6, &door->node };

	health_door_find_holder(facts, &local, &door->local);
	health_door_find_holder(facts, &local6, &door->local6);
	health_door_find_holder(facts, &node, &door->node);
	health_door_take_holder(door, facts);
	for (size_t i = 0; i < sizeof(holders) / sizeof(holders[0]); i++)
		holders[i]->ours =
		    holders[i]->listens && health_door_is_ours(door, facts, holders[i]->pid, holders[i]->uid);
	if (door->proxy.pid)
		health_door_list_addresses(door, facts);
}

char *health_door_name_holder(const struct health_door_holder *holder, char text[static 112])
{
	if (holder->pid)
		snprintf(text, 112, "process %d (%s) of uid %u", holder->pid, holder->name, holder->uid);
	else
		snprintf(text, 112, "a process of uid %u that is not visible from here", holder->uid);
	return text;
}

void health_door_look(struct health_door *door, const struct config *config, const struct health_facts *facts)
{
	*door = (struct health_door){ .looked = true };
	health_door_look_unit(door);
	health_door_look_proxy(door, facts);
	health_door_look_group(door, config->door.group);
	health_door_look_socket(door, config->door.socket);
	health_door_look_ports(door, facts);
}

/* Whoever else listens there is none of ours, and is not asked. */
void health_door_ask_both(struct health_door *door)
{
	static const struct health_door_question question = {
		.host = "127.0.0.1:3002", .id = BASE_NAME_OF_CHECKS, .port = 80, .path = "/"
	};
	const struct addr local = addr_from_ipv4(INADDR_LOOPBACK, HEALTH_DOOR_PORT);

	if (door->socket.path[0] && !door->socket.error)
		health_door_knock(door->socket.path, &door->knock);
	if (door->local.listens && door->local.ours)
		health_door_ask(&local, &question, &door->answer);
	if (door->proxy.of_unit)
		health_door_ask_version("/run/weft-door/admin.sock", door->proxy.version, sizeof(door->proxy.version));
}

bool health_door_is_used(const struct health_door *door)
{
	return door->socket.path[0] && (door->enabled || door->proxy.pid);
}

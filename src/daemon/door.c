/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The socket is made here, with its file's group and mode, and the forwarder accepts on it. Whoever may connect may name any client
 * and any token's hash, so nobody may who was not named: the file is bound shut and opened to the group (base/socket_file.h).
 *
 * HAProxy does not retry a unix socket that refuses. So the service manager keeps this one from the moment it listens, and a file that
 * was deleted is put back: then with a new socket, while connections that came through the former one live on.
 */
#include "daemon/door.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/folder.h"
#include "base/log.h"
#include "base/socket_file.h"
#include "base/socket_follow.h"
#include "config/config.h"
#include "daemon/daemon.h"
#include "daemon/endpoints.h"
#include "daemon/inherited.h"
#include "daemon/listeners.h"
#include "daemon/not_open.h"
#include "forwarder/forwarder.h"

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char door_option[] = "[door] socket";

struct door {
	struct socket_file file;
	struct folder folder;          /* of its file, since it was opened first */
	struct fwd_listener *listener; /* NULL: not open */
};

bool daemon_door_lacks_group(const struct config *config)
{
	const char *group = config->door.group;

	return config->door.socket && group && strcmp(group, CONFIG_DOOR_GROUP) == 0 && !getgrnam(group);
}

/* Whether somebody else than root, or than us in a trial, could put a socket of his own in the place of one that lies below STATUS. */
static bool daemon_door_can_be_replaced(const struct stat *status, bool is_last)
{
	if (status->st_uid && status->st_uid != geteuid())
		return true;
	if (status->st_mode & S_ISVTX && !is_last)
		return false;
	return status->st_mode & S_IWOTH || (status->st_mode & S_IWGRP && status->st_gid);
}

/* The first directory above PATH, from the root on, in which others could; NULL: none. Cuts PATH there. */
static const char *daemon_door_find_unsafe(char *path)
{
	char *last = strrchr(path, '/');
	struct stat status;

	for (char *slash = path; slash; slash = slash < last ? strchr(slash + 1, '/') : NULL) {
		const char former = slash[slash == path];

		slash[slash == path] = '\0';
		if (stat(path, &status) < 0)
			return NULL; /* it is made, as root's */
		if (daemon_door_can_be_replaced(&status, slash == last))
			return path;
		slash[slash == path] = former;
	}
	return NULL;
}

void daemon_door_check(const struct config *config, struct config_mistakes *mistakes)
{
	const char *group = config->door.group, *unsafe;
	AUTO_FREE char *path = config->door.socket ? strdup(config->door.socket) : NULL;

	if (!path)
		return;
	if (group && !getgrnam(group) && !daemon_door_lacks_group(config))
		config_mistake_add(mistakes, config, "door", "group",
				   "no such group; allowed: the name of a group of this host");
	unsafe = *path == '/' ? daemon_door_find_unsafe(path) : NULL;
	if (unsafe)
		config_mistake_add(mistakes, config, "door", "socket",
				   "others than root can write to %s; allowed: a directory that they cannot", unsafe);
}

/* ---- Opening ---- */

/* The file as the configuration has it. A group that is not there lets nobody in. */
static int daemon_door_prepare(const struct config *config, struct socket_file *file, struct err *err)
{
	if (base_socket_prepare(file, config->door.socket, "another program", (int)config->door.backlog, err) < 0)
		return -1;
	if (config->door.group)
		(void)base_socket_set_group(file, config->door.group);
	return 0;
}

static void daemon_door_tell_group(const struct config *config, const struct socket_file *file)
{
	if (config->door.group && !file->has_group)
		log_info("door: no such group; root alone may connect", F_STR("group", config->door.group),
			 F_STR("fix", "once there is one, reload weftd"));
}

/* The socket that was kept, or a new one. 0, or -1 with ERR. */
static int daemon_door_get_socket(struct daemon *daemon, struct socket_file *file, struct err *err)
{
	int kept = daemon_inherited_take_unix(daemon->inherited, file->path);

	/* As of the control socket, there may be several, and the file leads to one at most. */
	while (kept >= 0 && base_socket_take(file, kept, err) < 0) {
		log_info("door: a kept socket is not used", F_STR("why", err->text));
		daemon_listeners_close(daemon, kept, PROTO_TCP);
		kept = daemon_inherited_take_unix(daemon->inherited, file->path);
	}
	return kept >= 0 ? 0 : base_socket_open(file, err);
}

/* Hands FILE's socket to the forwarder. 0, or -1 with ERR and the socket is closed. */
static int daemon_door_serve(struct daemon *daemon, struct socket_file *file, struct err *err)
{
	static const struct addr nowhere;
	const struct fwd_listener_options options = { .proto = PROTO_TCP, .door = true, .fd = file->fd };
	struct door *door = daemon->door;

	door->listener = fwd_listener_open(daemon->forwarder, &nowhere, NULL, &options, err);
	if (!door->listener) {
		base_socket_unlink(file);
		daemon_listeners_close(daemon, file->fd, PROTO_TCP);
		return -1;
	}
	daemon_listeners_add(daemon, file->fd);
	door->file = *file;
	return 0;
}

static int daemon_door_listen(struct daemon *daemon, struct err *err)
{
	struct door *door = daemon->door;
	struct socket_file file;

	if (daemon_door_prepare(daemon->config, &file, err) < 0 || daemon_door_get_socket(daemon, &file, err) < 0 ||
	    daemon_door_serve(daemon, &file, err) < 0)
		return -1;
	base_folder_clear(&door->folder);
	if (base_folder_note(&door->folder, file.path, err) < 0)
		log_warning("door: its file is not put back if it is deleted", F_STR("error", err->text));
	daemon_door_tell_group(daemon->config, &file);
	daemon_not_open_remove_path(daemon, daemon->config->door.socket);
	return 0;
}

void daemon_door_retry(struct daemon *daemon)
{
	struct err err;

	if (daemon->door && !daemon->door->listener && daemon_door_listen(daemon, &err) < 0)
		daemon_not_open_add_path(daemon, daemon->config->door.socket, door_option, &err);
}

int daemon_door_open(struct daemon *daemon, struct err *err)
{
	if (!daemon->config->door.socket)
		return 0;
	daemon->door = calloc(1, sizeof(*daemon->door));
	if (!daemon->door)
		return err_set(err, ENOMEM, "door");
	daemon_door_retry(daemon);
	return 0;
}

/* ---- While it is open ---- */

void daemon_door_reconfigure(struct daemon *daemon)
{
	struct door *door = daemon->door;
	struct socket_file wanted;
	enum socket_file_state state;
	struct err err;

	if (!door || !door->listener || daemon_door_prepare(daemon->config, &wanted, &err) < 0)
		return;
	daemon_door_tell_group(daemon->config, &wanted);
	door->file.has_group = wanted.has_group;
	door->file.group = wanted.group;
	door->file.file_group = wanted.has_group ? wanted.group : getegid();
	if (base_socket_look(&door->file, &state, &err) < 0)
		log_error("door: its group is not changed", F_STR("error", err.text));
	else if (state == SOCKET_FILE_MENDED)
		log_info("door: its group is changed",
			 F_STR("group", wanted.has_group ? daemon->config->door.group : "root"));
}

/* The file is gone: a new socket takes the former one's place. */
static int daemon_door_put_back(struct daemon *daemon, struct err *err)
{
	struct door *door = daemon->door;
	struct socket_file fresh = door->file;

	if (!door->folder.path && base_folder_note(&door->folder, door->file.path, err) < 0)
		return -1;
	if (base_socket_put_back(&fresh, &door->folder, err) < 0)
		return -1;
	daemon_endpoints_unlisten(daemon, door->listener, false);
	door->listener = NULL;
	return daemon_door_serve(daemon, &fresh, err);
}

int daemon_door_follow_file(struct daemon *daemon, struct err *err)
{
	struct door *door = daemon->door;
	enum socket_file_state state;

	if (!door || !door->listener)
		return 0;
	if (base_socket_look(&door->file, &state, err) < 0)
		return -1;
	switch (state) {
	case SOCKET_FILE_IN_PLACE:
		return 0;
	case SOCKET_FILE_MENDED:
		return 1;
	case SOCKET_FILE_GONE:
		return daemon_door_put_back(daemon, err) < 0 ? -1 : 1;
	}
	return 0;
}

void daemon_door_stop(struct daemon *daemon)
{
	struct door *door = daemon->door;

	if (!door)
		return;
	if (door->listener && !daemon_listeners_keeps(daemon, fwd_listener_fd(door->listener)))
		base_socket_unlink(&door->file);
	base_folder_clear(&door->folder);
	free(door);
	daemon->door = NULL;
}

/* ---- Telling ---- */

static void daemon_door_count(const struct daemon *daemon, struct fwd_door_stats *stats)
{
	*stats = (struct fwd_door_stats){ 0 };
	if (daemon->forwarder)
		fwd_door_stats(daemon->forwarder, stats);
}

json_t *daemon_door_describe(const struct daemon *daemon)
{
	const char *path = daemon->config->door.socket;
	struct fwd_door_stats stats;
	json_t *refused = json_object();

	if (!path) {
		json_decref(refused);
		return json_null();
	}
	daemon_door_count(daemon, &stats);
	for (unsigned i = 0; i < DOOR_REFUSALS && refused; i++) {
		if (json_object_set_new(refused, door_refusal_name((enum door_refusal)i),
					json_integer((json_int_t)stats.refused[i])) == 0)
			continue;
		json_decref(refused);
		refused = NULL;
	}
	return json_pack("{s:s, s:b, s:I, s:I, s:I, s:o, s:I}", "socket", path, "open",
			 daemon->door && daemon->door->listener, "connections", (json_int_t)stats.open, "held",
			 (json_int_t)stats.held, "served", (json_int_t)stats.served, "refused", refused, "broken",
			 (json_int_t)stats.broken);
}

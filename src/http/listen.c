/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file is bound under a umask that shuts everybody out, gets its group and mode, and only then is listened on, so that nobody
 * without permission can ever connect. A socket that a former run listened on is taken only if the file at the path is its own,
 * which the kernel knows (SIOCUNIXFILE). A connect() is refused by a socket that is left over, and not by one that is served.
 */
#include "http/listen.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/un.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int http_listen_find_group(const char *name, gid_t *gid, struct err *err)
{
	struct group *group;

	errno = 0;
	group = getgrnam(name);
	if (!group)
		return err_set(err, errno, "[daemon] socket_group = %s: no such group", name);
	*gid = group->gr_gid;
	return 0;
}

/* Makes the directory of PATH, one level, if it is missing. /run is empty after a boot. */
static void http_listen_make_directory(const char *path)
{
	AUTO_FREE char *directory = strdup(path);
	char *slash = directory ? strrchr(directory, '/') : NULL;

	if (!slash || slash == directory)
		return;
	*slash = '\0';
	mkdir(directory, 0755); /* if that fails, bind() reports why */
}

static int http_listen_report_holder(int fd, const char *path, struct err *err)
{
	struct ucred holder;
	socklen_t size = sizeof(holder);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &holder, &size) < 0 || !holder.pid)
		return err_set(err, 0, "another weftd answers on %s", path);
	return err_set(err, 0, "another weftd (pid %d) answers on %s", holder.pid, path);
}

/* Removes the socket file that a dead daemon left at ADDRESS. 0 or -1 with ERR. */
static int http_listen_remove_stale(const struct sockaddr_un *address, struct err *err)
{
	struct stat status;

	if (lstat(address->sun_path, &status) < 0)
		return errno == ENOENT ? 0 : err_set(err, errno, "%s", address->sun_path);
	if (!S_ISSOCK(status.st_mode))
		return err_set(err, 0, "%s is there and is not a socket", address->sun_path);

	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(err, errno, "socket");
	if (!connect(fd, (const struct sockaddr *)address, sizeof(*address)))
		return http_listen_report_holder(fd, address->sun_path, err);
	if (errno == EAGAIN)
		return err_set(err, 0, "another weftd answers on %s", address->sun_path);
	if (errno != ECONNREFUSED)
		return err_set(err, errno, "%s", address->sun_path);
	if (unlink(address->sun_path) < 0 && errno != ENOENT)
		return err_set(err, errno, "remove %s", address->sun_path);
	log_info("control: the socket of a dead weftd is replaced", F_STR("path", address->sun_path));
	return 0;
}

static int http_listen_bind_closed(int fd, const struct sockaddr_un *address, struct err *err)
{
	mode_t before = umask(0177);
	int result = bind(fd, (const struct sockaddr *)address, sizeof(*address));
	int error = errno;

	umask(before);
	return result < 0 ? err_set(err, error, "bind %s", address->sun_path) : 0;
}

/* Gives the bound file its group and mode, remembers it, and listens. */
static int http_listen_open_to_group(int fd, struct http_listen_socket *socket, struct err *err)
{
	struct stat status;

	if (socket->has_group && chown(socket->path, (uid_t)-1, socket->group) < 0)
		return err_set(err, errno, "group of %s", socket->path);
	if (chmod(socket->path, LISTEN_MODE) < 0)
		return err_set(err, errno, "mode of %s", socket->path);
	if (lstat(socket->path, &status) < 0)
		return err_set(err, errno, "%s", socket->path);
	socket->device = status.st_dev;
	socket->inode = status.st_ino;
	socket->file_group = status.st_gid;
	if (listen(fd, SOMAXCONN) < 0)
		return err_set(err, errno, "listen on %s", socket->path);
	return 0;
}

/* LISTENING as it is before it has a socket. */
static int http_listen_begin(const char *path, const char *group, struct http_listen_socket *listening, struct err *err)
{
	*listening = (struct http_listen_socket){ .fd = -1, .has_group = group != NULL };
	if (!*path || strlen(path) >= sizeof(listening->path))
		return err_set(err, ENAMETOOLONG, "socket %s", path);
	strcpy(listening->path, path);
	return group ? http_listen_find_group(group, &listening->group, err) : 0;
}

int http_listen_bind(struct http_listen_socket *listening, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	strcpy(address.sun_path, listening->path);
	if (http_listen_remove_stale(&address, err) < 0)
		return -1;

	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(err, errno, "socket");
	if (http_listen_bind_closed(fd, &address, err) < 0)
		return -1;
	if (http_listen_open_to_group(fd, listening, err) < 0) {
		unlink(listening->path);
		return -1;
	}
	listening->fd = steal_fd(&fd);
	return 0;
}

int http_listen_open(const char *path, const char *group, struct http_listen_socket *listening, struct err *err)
{
	if (http_listen_begin(path, group, listening, err) < 0)
		return -1;
	http_listen_make_directory(path);
	return http_listen_bind(listening, err);
}

/* Whether the file at PATH is the one that FD was bound to: another socket may have been bound there since. */
static bool http_listen_leads_to(const char *path, int fd)
{
	AUTO_FD int file = ioctl(fd, SIOCUNIXFILE, 0);
	struct stat bound, there;

	return file >= 0 && fstat(file, &bound) == 0 && lstat(path, &there) == 0 && S_ISSOCK(there.st_mode) &&
	       bound.st_dev == there.st_dev && bound.st_ino == there.st_ino;
}

int http_listen_take(const char *path, const char *group, int fd, struct http_listen_socket *listening, struct err *err)
{
	if (http_listen_begin(path, group, listening, err) < 0)
		return -1;
	if (!http_listen_leads_to(path, fd))
		return err_set(err, 0, "%s leads to the kept socket no more", path);
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return err_set(err, errno, "fcntl");
	/* The group of a former configuration. */
	if (!group && chown(path, (uid_t)-1, getegid()) < 0)
		return err_set(err, errno, "group of %s", path);
	if (http_listen_open_to_group(fd, listening, err) < 0)
		return -1;
	listening->fd = fd;
	return 0;
}

void http_listen_unlink(struct http_listen_socket *socket)
{
	struct stat status;

	if (!lstat(socket->path, &status) && status.st_dev == socket->device && status.st_ino == socket->inode)
		unlink(socket->path);
}

bool http_listen_allows(const struct http_listen_socket *socket, int fd, uid_t uid, gid_t gid)
{
	enum { GROUPS_MAX = 1024 };
	gid_t groups[GROUPS_MAX];
	socklen_t size = sizeof(groups);

	if (uid == 0 || uid == geteuid())
		return true;
	if (!socket->has_group)
		return false;
	if (gid == socket->group)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
		return false;
	for (size_t i = 0; i < size / sizeof(groups[0]); i++)
		if (groups[i] == socket->group)
			return true;
	return false;
}

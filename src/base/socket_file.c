/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file is bound under a umask that shuts everybody out, gets its group and mode, and only then is listened on, so that nobody
 * without permission can ever connect. A socket that a former run listened on is taken only if the file at the path is its own,
 * which the kernel knows (SIOCUNIXFILE). A connect() is refused by a socket that is left over, and not by one that is served.
 */
#include "base/socket_file.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/un.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Makes the directory of PATH, one level, if it is missing. /run is empty after a boot. */
static void base_socket_make_directory(const char *path)
{
	AUTO_FREE char *directory = strdup(path);
	char *slash = directory ? strrchr(directory, '/') : NULL;

	if (!slash || slash == directory)
		return;
	*slash = '\0';
	mkdir(directory, 0755); /* if that fails, bind() reports why */
}

static int base_socket_report_holder(int fd, const struct socket_file *listening, struct err *err)
{
	struct ucred holder;
	socklen_t size = sizeof(holder);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &holder, &size) < 0 || !holder.pid)
		return err_set(err, 0, "%s answers on %s", listening->other, listening->path);
	return err_set(err, 0, "%s (pid %d) answers on %s", listening->other, holder.pid, listening->path);
}

/* Removes the socket file that a dead daemon left at ADDRESS, the path of LISTENING. 0 or -1 with ERR. */
static int base_socket_remove_stale(const struct socket_file *listening, const struct sockaddr_un *address,
				    struct err *err)
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
		return base_socket_report_holder(fd, listening, err);
	if (errno == EAGAIN)
		return err_set(err, 0, "%s answers on %s", listening->other, address->sun_path);
	if (errno != ECONNREFUSED)
		return err_set(err, errno, "%s", address->sun_path);
	if (unlink(address->sun_path) < 0 && errno != ENOENT)
		return err_set(err, errno, "remove %s", address->sun_path);
	log_info("a socket that nobody answers on is replaced", F_STR("path", address->sun_path));
	return 0;
}

static int base_socket_bind_closed(int fd, const struct sockaddr_un *address, struct err *err)
{
	mode_t before = umask(0177);
	int result = bind(fd, (const struct sockaddr *)address, sizeof(*address));
	int error = errno;

	umask(before);
	return result < 0 ? err_set(err, error, "bind %s", address->sun_path) : 0;
}

/* Gives the bound file its group and mode, remembers it, and listens. */
static int base_socket_open_to_group(int fd, struct socket_file *socket, struct err *err)
{
	struct stat status;

	if (socket->has_group && chown(socket->path, (uid_t)-1, socket->group) < 0)
		return err_set(err, errno, "group of %s", socket->path);
	if (chmod(socket->path, SOCKET_FILE_MODE) < 0)
		return err_set(err, errno, "mode of %s", socket->path);
	if (lstat(socket->path, &status) < 0)
		return err_set(err, errno, "%s", socket->path);
	socket->device = status.st_dev;
	socket->inode = status.st_ino;
	socket->file_group = status.st_gid;
	if (listen(fd, socket->backlog) < 0)
		return err_set(err, errno, "listen on %s", socket->path);
	return 0;
}

int base_socket_prepare(struct socket_file *listening, const char *path, const char *other, int backlog,
			struct err *err)
{
	*listening = (struct socket_file){ .fd = -1, .other = other, .backlog = backlog };
	if (!*path || strlen(path) >= sizeof(listening->path))
		return err_set(err, ENAMETOOLONG, "socket %s", path);
	strcpy(listening->path, path);
	return 0;
}

int base_socket_set_group(struct socket_file *listening, const char *name)
{
	struct group *group = getgrnam(name);

	if (!group)
		return -1;
	listening->has_group = true;
	listening->group = group->gr_gid;
	return 0;
}

int base_socket_bind(struct socket_file *listening, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	strcpy(address.sun_path, listening->path);
	if (base_socket_remove_stale(listening, &address, err) < 0)
		return -1;

	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(err, errno, "socket");
	if (base_socket_bind_closed(fd, &address, err) < 0)
		return -1;
	if (base_socket_open_to_group(fd, listening, err) < 0) {
		unlink(listening->path);
		return -1;
	}
	listening->fd = steal_fd(&fd);
	return 0;
}

int base_socket_open(struct socket_file *listening, struct err *err)
{
	base_socket_make_directory(listening->path);
	return base_socket_bind(listening, err);
}

/* Whether the file at PATH is the one that FD was bound to: another socket may have been bound there since. */
static bool base_socket_leads_to(const char *path, int fd)
{
	AUTO_FD int file = ioctl(fd, SIOCUNIXFILE, 0);
	struct stat bound, there;

	return file >= 0 && fstat(file, &bound) == 0 && lstat(path, &there) == 0 && S_ISSOCK(there.st_mode) &&
	       bound.st_dev == there.st_dev && bound.st_ino == there.st_ino;
}

int base_socket_take(struct socket_file *listening, int fd, struct err *err)
{
	const char *path = listening->path;

	if (!base_socket_leads_to(path, fd))
		return err_set(err, 0, "%s leads to the kept socket no more", path);
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return err_set(err, errno, "fcntl");
	/* The group of a former configuration. */
	if (!listening->has_group && chown(path, (uid_t)-1, getegid()) < 0)
		return err_set(err, errno, "group of %s", path);
	if (base_socket_open_to_group(fd, listening, err) < 0)
		return -1;
	listening->fd = fd;
	return 0;
}

void base_socket_unlink(struct socket_file *socket)
{
	struct stat status;

	if (!lstat(socket->path, &status) && status.st_dev == socket->device && status.st_ino == socket->inode)
		unlink(socket->path);
}

bool base_socket_is_served(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct ucred maker;
	socklen_t size = sizeof(maker);

	if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
		return false;
	strcpy(address.sun_path, path);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return errno == EAGAIN;
	/* Whoever is in another namespace of processes has no number here. */
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &maker, &size) < 0 || !maker.pid || kill(maker.pid, 0) == 0 ||
	       errno == EPERM;
}

bool base_socket_allows(const struct socket_file *socket, int fd, uid_t uid, gid_t gid)
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

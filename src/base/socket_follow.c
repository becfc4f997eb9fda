/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A unix socket is found by its file alone, and a file that was deleted cannot be given back to its socket. So a new socket is
 * bound, and the former one serves those who are connected.
 */
#include "base/socket_follow.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static bool base_socket_is_ours(const struct socket_file *socket, const struct stat *status)
{
	return status->st_dev == socket->device && status->st_ino == socket->inode;
}

static int base_socket_mend(const struct socket_file *socket, struct err *err)
{
	AUTO_FD int fd = open(socket->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat status;
	char link[64];

	if (fd < 0 || fstat(fd, &status) < 0)
		return err_set(err, errno, "%s", socket->path);
	if (!base_socket_is_ours(socket, &status))
		return err_set(err, 0, "%s was replaced", socket->path);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (fchownat(fd, "", geteuid(), socket->file_group, AT_EMPTY_PATH) < 0 || chmod(link, SOCKET_FILE_MODE) < 0)
		return err_set(err, errno, "permissions of %s", socket->path);
	return 0;
}

int base_socket_look(const struct socket_file *socket, enum socket_file_state *file, struct err *err)
{
	struct stat status;

	*file = SOCKET_FILE_GONE;
	if (lstat(socket->path, &status) < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : err_set(err, errno, "%s", socket->path);
	if (!base_socket_is_ours(socket, &status))
		return 0;
	*file = SOCKET_FILE_IN_PLACE;
	if ((status.st_mode & 07777) == SOCKET_FILE_MODE && status.st_gid == socket->file_group &&
	    status.st_uid == geteuid())
		return 0;
	*file = SOCKET_FILE_MENDED;
	return base_socket_mend(socket, err);
}

int base_socket_put_back(struct socket_file *socket, struct folder *folder, struct err *err)
{
	struct socket_file fresh = *socket;

	if (base_folder_renew(folder, err) < 0 || base_socket_bind(&fresh, err) < 0)
		return -1;
	if (!base_folder_is_same(folder)) {
		base_socket_unlink(&fresh);
		close(fresh.fd);
		return err_set(err, 0, "%s was replaced meanwhile", folder->path);
	}
	*socket = fresh;
	return 0;
}

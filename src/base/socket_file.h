/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_SOCKET_FILE_H
#define WEFT_BASE_SOCKET_FILE_H

/*
 * A listening unix socket as a file: its making, owner, permissions and removal. Main thread only.
 */

#include <stdbool.h>
#include <sys/types.h>

struct err;

enum { SOCKET_FILE_MODE = 0660 }; /* of the file */

/* A listening unix socket and the file that leads to it. */
struct socket_file {
	int fd; /* -1: none */
	char path[108];
	const char *other; /* who may be found to listen there already: "another weftd" */
	int backlog;       /* of listen() */
	dev_t device;      /* of the file that was made */
	ino_t inode;
	bool has_group;
	gid_t group;
	gid_t file_group; /* of the file as it was made */
};

/*
 * SOCKET as it is before it listens on PATH: without a group. OTHER is not copied. 0, or -1 with ERR: the path is empty or too long.
 */
int base_socket_prepare(struct socket_file *socket, const char *path, const char *other, int backlog, struct err *err);

/* Lets the members of the group NAME use SOCKET, which does not listen yet. 0, or -1: there is no such group. */
int base_socket_set_group(struct socket_file *socket, const char *name);

/*
 * Binds the path with mode SOCKET_FILE_MODE and the group and listens. The directory is made, if it is missing. A socket file that
 * nobody answers on is replaced. It is an error if somebody answers, or if the file is no socket. 0 or -1 with ERR.
 */
int base_socket_open(struct socket_file *socket, struct err *err);

/*
 * The same with FD, a socket that listened on the path in a former run, if the file there leads to it still; it is then taken over.
 * 0, or -1 with ERR and FD is the caller's.
 */
int base_socket_take(struct socket_file *socket, int fd, struct err *err);

/* Does the same again for the path, group and directory that SOCKET has: its members FD, device and inode become the new file's. */
int base_socket_bind(struct socket_file *socket, struct err *err);

/* Removes the file, unless another process has replaced it. The descriptor stays open. */
void base_socket_unlink(struct socket_file *socket);

/*
 * Whether a process that lives made the socket that listens on PATH. One that a service manager keeps for a dead process does not
 * count, nor does a file that nobody answers on.
 */
bool base_socket_is_served(const char *path);

/* Whether the client at FD may call: root, weftd's own user, or a member of the group. The file's mode says the same. */
bool base_socket_allows(const struct socket_file *socket, int fd, uid_t uid, gid_t gid);

#endif

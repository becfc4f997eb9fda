/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HTTP_LISTEN_H
#define WEFT_HTTP_LISTEN_H

/*
 * A listening unix socket as a file: its making, owner, permissions and removal. Main thread only.
 */

#include <stdbool.h>
#include <sys/types.h>

struct err;

enum { LISTEN_MODE = 0660 }; /* of the file */

/* A listening unix socket and the file that leads to it. */
struct http_listen_socket {
	int fd; /* -1: none */
	char path[108];
	dev_t device; /* of the file that was made */
	ino_t inode;
	bool has_group;
	gid_t group;
	gid_t file_group; /* of the file as it was made */
};

/*
 * Binds PATH with mode LISTEN_MODE and GROUP (NULL: none) and listens. A socket file that nobody answers on is replaced. It is an
 * error if somebody answers, or if the file is no socket. 0 or -1 with ERR.
 */
int http_listen_open(const char *path, const char *group, struct http_listen_socket *socket, struct err *err);

/*
 * The same with FD, a socket that listened on PATH in a former run, if the file at PATH leads to it still; it is then taken over.
 * 0, or -1 with ERR and FD is the caller's.
 */
int http_listen_take(const char *path, const char *group, int fd, struct http_listen_socket *socket, struct err *err);

/* Does the same again for the path, group and directory that SOCKET has: its members FD, device and inode become the new file's. */
int http_listen_bind(struct http_listen_socket *socket, struct err *err);

/* Removes the file, unless another process has replaced it. The descriptor stays open: it belongs to the gate. */
void http_listen_unlink(struct http_listen_socket *socket);

/* Whether the client at FD may call: root, weftd's own user, or a member of the group. The file's mode says the same. */
bool http_listen_allows(const struct http_listen_socket *socket, int fd, uid_t uid, gid_t gid);

#endif

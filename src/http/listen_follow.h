/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HTTP_LISTEN_FOLLOW_H
#define WEFT_HTTP_LISTEN_FOLLOW_H

/*
 * A listening unix socket whose file others delete: it is put back. Main thread only.
 */

#include "http/listen.h"

struct folder;

enum listen_file {
	LISTEN_FILE_IN_PLACE,
	LISTEN_FILE_MENDED, /* it was, and its group or mode was put right */
	LISTEN_FILE_GONE,   /* nobody can connect by the path, or somebody else answers there */
};

/* The state of the file of SOCKET, in *FILE; its group and mode are put right. 0, or -1 with ERR. */
int http_listen_look(const struct http_listen_socket *socket, enum listen_file *file, struct err *err);

/*
 * Puts the file of SOCKET back in its FOLDER, which is renewed, with a new socket behind it: SOCKET is then as after
 * http_listen_open(), and the former descriptor is the caller's. A socket on which somebody answers, and a file that is no socket,
 * are left alone. 0, or -1 with ERR and SOCKET as it was.
 */
int http_listen_put_back(struct http_listen_socket *socket, struct folder *folder, struct err *err);

#endif

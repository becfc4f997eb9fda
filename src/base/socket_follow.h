/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_SOCKET_FOLLOW_H
#define WEFT_BASE_SOCKET_FOLLOW_H

/*
 * A listening unix socket whose file others delete: it is put back. Main thread only.
 */

#include "base/socket_file.h"

struct folder;

enum socket_file_state {
	SOCKET_FILE_IN_PLACE,
	SOCKET_FILE_MENDED, /* it was, and its group or mode was put right */
	SOCKET_FILE_GONE,   /* nobody can connect by the path, or somebody else answers there */
};

/* The state of the file of SOCKET, in *FILE; its group and mode are put right. 0, or -1 with ERR. */
int base_socket_look(const struct socket_file *socket, enum socket_file_state *file, struct err *err);

/*
 * Puts the file of SOCKET back in its FOLDER, which is renewed, with a new socket behind it: SOCKET is then as after
 * base_socket_open(), and the former descriptor is the caller's. A socket on which somebody answers, and a file that is no socket,
 * are left alone. 0, or -1 with ERR and SOCKET as it was.
 */
int base_socket_put_back(struct socket_file *socket, struct folder *folder, struct err *err);

#endif

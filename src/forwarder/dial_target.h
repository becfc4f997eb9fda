/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_DIAL_TARGET_H
#define WEFT_FORWARDER_DIAL_TARGET_H

/* What the second socket of a connection is, and what it connects to. Pure; any thread. */

#include "base/addr.h"

#include <stdbool.h>

/* Where the socket is made that connects. */
enum fwd_place {
	PLACE_SANDBOX, /* inside the sandbox's namespace */
	PLACE_HOST,    /* in the namespace of weftd */
};

struct fwd_target {
	enum fwd_place place;
	union addr_socket to; /* a path is absolute and ends with a 0 */
	struct addr source;   /* the socket's own address; family 0: as the kernel chooses */
	bool proxy_protocol;  /* the first bytes are a header of the PROXY protocol */
};

enum { TARGET_TEXT_SIZE = sizeof(((struct sockaddr_un *)0)->sun_path) + sizeof("unix:") };

/* ADDR, or the socket at PATH, asked from the host. PATH is cut where it does not fit. */
struct fwd_target fwd_target_address(const struct addr *addr, bool proxy_protocol);
struct fwd_target fwd_target_path(const char *path, bool proxy_protocol);

bool fwd_target_equal(const struct fwd_target *a, const struct fwd_target *b);

/* "127.0.0.1:5010", "unix:/run/events.sock". Returns TEXT. */
char *fwd_target_format(const struct fwd_target *target, char text[static TARGET_TEXT_SIZE]);

/* For connect(2). */
socklen_t fwd_target_length(const struct fwd_target *target);

#endif

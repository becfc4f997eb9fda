/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_PROXY_HEADER_H
#define WEFT_FORWARDER_PROXY_HEADER_H

#include "base/addr.h"

enum { PROXY_TEXT_MAX = 64, PROXY_HEADER_MAX = 16 + 36 + 2 * (3 + PROXY_TEXT_MAX) };

/*
 * The PROXY protocol's version 2 header (haproxy.org, proxy-protocol.txt), by which a server learns the address of its
 * CLIENT and the address LISTEN that the client connected to, of the same family. Returns its size. Pure.
 */
size_t fwd_proxy_header_write(const struct addr *client, const struct addr *listen,
			      char header[static PROXY_HEADER_MAX]);

/*
 * Adds to HEADER, of SIZE bytes, the ID of the sandbox from which the client asks, as PP2_TYPE_UNIQUE_ID (0x05), and its NAME, unless
 * that is "", as type 0xE0, the first of those that are left to applications. Each is cut after PROXY_TEXT_MAX bytes. Returns the
 * size of the whole.
 */
size_t fwd_proxy_header_add_sandbox(char header[static PROXY_HEADER_MAX], size_t size, const char *id,
				    const char *name);

#endif

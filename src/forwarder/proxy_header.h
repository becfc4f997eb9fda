/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_PROXY_HEADER_H
#define WEFT_FORWARDER_PROXY_HEADER_H

#include "base/addr.h"

enum { PROXY_HEADER_MAX = 16 + 36 };

/*
 * The PROXY protocol's version 2 header (haproxy.org, proxy-protocol.txt), by which the guest learns the address of its
 * CLIENT and the address LISTEN that the client connected to, of the same family. Returns its size. Pure.
 */
size_t fwd_proxy_header_write(const struct addr *client, const struct addr *listen,
			      char header[static PROXY_HEADER_MAX]);

#endif

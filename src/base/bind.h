/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_BIND_H
#define WEFT_BASE_BIND_H

/*
 * Sockets for addresses of the host. Whatever asks whether an address is free has to bind it exactly as whatever opens it. Any
 * thread.
 */

#include <stdbool.h>

struct addr;
struct err;

/* Whether ADDR is a broadcast address of a network of this host, which the kernel lets be bound, though nobody can connect to it. */
bool base_is_broadcast(const struct addr *addr);

/*
 * A socket of TYPE (SOCK_STREAM, SOCK_DGRAM) bound to ADDR, close-on-exec and not blocking; it does not listen yet. The caller
 * owns it. One of IPv6 leaves IPv4 alone. -1 with ERR, whose text names the call (EADDRINUSE, EADDRNOTAVAIL, EACCES, EMFILE, ...);
 * EADDRNOTAVAIL also for a broadcast address.
 */
int base_bind(const struct addr *addr, int type, struct err *err);

#endif

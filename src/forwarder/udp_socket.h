/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_UDP_SOCKET_H
#define WEFT_FORWARDER_UDP_SOCKET_H

/* The sockets of UDP endpoints and of their flows. Any thread. */

#include <stdint.h>

struct addr;

enum { UDP_RECEIVE_BYTES = 4 * 1024 * 1024 }; /* as the kernel path has room for a burst, so has a socket */

/*
 * Gives FD room for UDP_RECEIVE_BYTES of datagrams that wait; without CAP_NET_ADMIN for as many as net.core.rmem_max allows. LISTEN
 * is the address of an endpoint, NULL for a flow's socket: one that is bound to all addresses then tells where a datagram came to.
 */
void fwd_udp_socket_prepare(int fd, const struct addr *listen);

/* Brings *DROPS up to how many datagrams the queue of FD has had no room for, ever; it wraps. Returns by how many it grew. */
uint32_t fwd_udp_socket_drops(int fd, uint32_t *drops);

#endif

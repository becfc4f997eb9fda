/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_UDP_SOCKET_H
#define WEFT_FORWARDER_UDP_SOCKET_H

/* The sockets of UDP endpoints and of their flows. Any thread. */

#include <stdint.h>

struct addr;

enum { UDP_RECEIVE_BYTES = 4 * 1024 * 1024 }; /* as the kernel path has room for a burst, so has a socket */

/*
 * Gives FD room for UDP_RECEIVE_BYTES of datagrams that wait; without CAP_NET_ADMIN, for as many as net.core.rmem_max allows. LISTEN
 * is the address of an endpoint, or NULL for a flow's socket. A socket that listens on all addresses then tells with each datagram to
 * which one it came.
 */
void fwd_udp_socket_prepare(int fd, const struct addr *listen);

/* Sets *DROPS to the number of datagrams, ever, that the queue of FD had no room for; it wraps. Returns by how much it grew. */
uint32_t fwd_udp_socket_drops(int fd, uint32_t *drops);

#endif

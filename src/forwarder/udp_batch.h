/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_UDP_BATCH_H
#define WEFT_FORWARDER_UDP_BATCH_H

/* Datagrams on their way from one socket to another, many in one system call. One thread. */

#include "forwarder/udp_table.h"

#include <stdint.h>

struct udp_batch;

enum { UDP_BATCH = 16 }; /* datagrams */

/* Empty. NULL only for lack of memory. free() frees it. */
struct udp_batch *fwd_udp_batch_new(void);

/* Receives up to UDP_BATCH datagrams from the socket FD. Returns how many; 0 for none. */
unsigned fwd_udp_batch_receive(struct udp_batch *batch, int fd);

/* Takes the ends of the datagram that FD has next, as that of index 0, and leaves it there. False: it has none. */
bool fwd_udp_batch_look(struct udp_batch *batch, int fd);

/* The sender of datagram INDEX, and the address of this host that it came to, without a port (struct udp_ends). */
const struct udp_ends *fwd_udp_batch_ends(const struct udp_batch *batch, unsigned index);

/*
 * Makes datagram INDEX, received, ready to be sent to the client of TO, from its own address; TO must live until then. NULL: to the
 * socket's own peer.
 */
void fwd_udp_batch_address(struct udp_batch *batch, unsigned index, struct udp_ends *to);

/*
 * Sends datagrams FIRST up to END by FD. Datagrams that the socket does not take are dropped: *LOST of them. Returns the bytes
 * sent.
 */
uint64_t fwd_udp_batch_send(struct udp_batch *batch, unsigned first, unsigned end, int fd, unsigned *lost);

#endif

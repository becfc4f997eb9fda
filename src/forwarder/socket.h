/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_SOCKET_H
#define WEFT_FORWARDER_SOCKET_H

/* Options of a TCP socket, and its end. Each function looks at the descriptor alone: any thread. */

#include <stdbool.h>
#include <stdint.h>

/* Closes *FD with a reset instead of a FIN and sets it to -1. Harmless for -1. */
void fwd_socket_reset(int *fd);

/* Whether the end of FD's last copy is a reset, whoever closes it, or is in order again. */
void fwd_socket_end_by_reset(int fd, bool reset);

/* A number that no other socket has until the host boots. 0, or -1 with errno: FD is no socket. */
int fwd_socket_cookie(int fd, uint64_t *cookie);

struct addr;

/* The address that its client connected to, before the kernel redirected it here. IPv4. 0, or -1 with errno: it was not tracked. */
int fwd_socket_original(int fd, struct addr *addr);

/* The error that the socket reports, as an errno; 0: none. Reading it clears it. */
int fwd_socket_error(int fd);

/* Whether the connection is over for both ends, by a reset for one. False for a unix socket. */
bool fwd_socket_is_over(int fd);

/* Keepalive: probes after KEEPALIVE_MS of silence and each KEEPALIVE_MS from then on; 0: off. */
void fwd_socket_set_keepalive(int fd, unsigned keepalive_ms);

/* Limits how fast the kernel sends, in bytes a second; 0: no limit. */
void fwd_socket_set_pace(int fd, uint64_t bytes_per_second);

/*
 * The peer may stop answering for as long as it likes until fwd_socket_thaw(): neither keepalive nor TCP's own timeout ends the
 * connection. Keepalive stays off after fwd_socket_thaw(), until fwd_socket_set_keepalive().
 */
void fwd_socket_freeze(int fd);
void fwd_socket_thaw(int fd);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_SOCK_KILL_H
#define WEFT_KERNEL_SOCK_KILL_H

struct err;

/*
 * Ends every TCP socket of the namespace with a reset. Sockets that a killed predecessor left pin the namespace for up to
 * 105 s. A kernel without SOCK_DESTROY is no error; the sockets then last as long as that. Any thread.
 */
int kern_sock_kill_all(int netns_fd, struct err *err);

#endif

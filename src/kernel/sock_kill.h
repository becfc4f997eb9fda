/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_SOCK_KILL_H
#define WEFT_KERNEL_SOCK_KILL_H

#include <stddef.h>

struct err;
struct kern_sock_filter;

/*
 * Ends every TCP socket of the namespace with a reset. Sockets that a killed predecessor left pin the namespace for up to
 * 105 s. A kernel without SOCK_DESTROY is no error; the sockets then last as long as that. Any thread.
 */
int kern_sock_kill_all(int netns_fd, struct err *err);

/*
 * Ends the sockets of the home namespace that FILTER (kernel/sock_list.h) lets pass: their owners read ECONNABORTED at once, and the
 * destination of TCP gets a reset. *COUNT: how many; may be NULL. A kernel without SOCK_DESTROY is no error, and ends none. 0, or -1 with
 * ERR: some may have been ended by then. Any thread.
 */
int kern_sock_kill_to(const struct kern_sock_filter *filter, size_t *count, struct err *err);

#endif

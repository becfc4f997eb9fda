/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_PACKET_LOG_H
#define WEFT_KERNEL_PACKET_LOG_H

/*
 * Packets that rules of the home namespace log to a group (NFLOG). Each group has one reader. What the kernel cannot deliver in time is
 * lost. One thread.
 */

#include "kernel/rtnl.h"

#include <stddef.h>
#include <stdint.h>

struct err;

/* The group to which weft's rules of the host log packets that wake a sandbox, and how many bytes of each; wake/ reads it. */
enum { KERN_WAKE_GROUP = 1874, KERN_WAKE_BYTES = 2048 };

struct kern_packet_log {
	struct kern_rtnl netlink;
	uint16_t group;
};

#define KERN_PACKET_LOG_CLOSED                                                                                         \
	{                                                                                                              \
		.netlink = KERN_RTNL_CLOSED                                                                            \
	}

/*
 * Becomes the reader of GROUP, of whose packets the first SNAPLEN bytes are copied. 0, or -1 with ERR and LOG closed: EPERM if another
 * program reads the group, or without CAP_NET_ADMIN.
 */
int kern_packet_log_open(struct kern_packet_log *log, uint16_t group, uint16_t snaplen, struct err *err);

/* Harmless on a closed one. */
void kern_packet_log_close(struct kern_packet_log *log);

/* To be polled for reading; it stays LOG's. -1: closed. */
int kern_packet_log_fd(const struct kern_packet_log *log);

/* Gets the SIZE bytes of a packet that were copied, from its IP header on; they are at no particular alignment, and end with the call. */
typedef void kern_packet_log_take(void *context, const uint8_t *bytes, size_t size);

/*
 * Hands the packets of one message to TAKE, which does not close LOG. 1; 0: none has come; -1 with ERR: its code is ENOBUFS where some were
 * lost, after which LOG is read on, and another one where LOG is of no use any more. Never waits.
 */
int kern_packet_log_read(struct kern_packet_log *log, kern_packet_log_take *take, void *context, struct err *err);

#endif

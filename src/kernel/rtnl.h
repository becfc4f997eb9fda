/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_RTNL_H
#define WEFT_KERNEL_RTNL_H

/*
 * Requests to the kernel's RTNETLINK (and other netlink families), one at a time, with exact errors: the errno value and the
 * kernel's own words (extended acknowledgement) both reach struct err. One socket, one thread.
 */

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum { RTNL_MESSAGE_SIZE = 4096, RTNL_RECEIVE_SIZE = 32768 };

struct rtnl {
	struct mnl_socket *socket; /* NULL: closed */
	unsigned port;
	uint32_t sequence;
	bool interrupted; /* the dump at hand: something changed under it */
};

#define RTNL_CLOSED                                                                                                    \
	{                                                                                                              \
		.socket = NULL                                                                                         \
	}

/* A request under construction: aligned, and large enough for all that we send. */
struct rtnl_request {
	struct nlmsghdr *header;
	_Alignas(struct nlmsghdr) char buffer[RTNL_MESSAGE_SIZE];
};

/* Opens a socket of FAMILY (NETLINK_ROUTE, ...) in the namespace of NETNS_FD; -1: the home namespace. 0 or -1 with ERR. */
int rtnl_open(struct rtnl *rtnl, int netns_fd, int family, struct err *err);

/* Harmless on a closed one. */
void rtnl_close(struct rtnl *rtnl);

/* Begins a message with an extra header of EXTRA bytes, zeroed. Returns that header. FLAGS beside NLM_F_REQUEST. */
void *rtnl_begin(struct rtnl_request *request, uint16_t type, unsigned flags, size_t extra);

/*
 * Sends and waits for the acknowledgement. 0, or -1 with ERR: its code is the kernel's errno, its text begins with what FORMAT
 * says (the object's name) and has the kernel's explanation, if any.
 */
int rtnl_send(struct rtnl *rtnl, struct rtnl_request *request, struct err *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same, and hands each message of the answer to TAKE: for gets and dumps. An interrupted dump gives EINTR: ask again. */
int rtnl_ask(struct rtnl *rtnl, struct rtnl_request *request, mnl_cb_t take, void *data, struct err *err,
	     const char *format, ...) __attribute__((format(printf, 6, 7)));

/* Attributes of one level, by type, into TABLE of COUNT pointers; unknown types are left out. */
void rtnl_attributes(const struct nlmsghdr *header, size_t offset, const struct nlattr **table, size_t count);
void rtnl_nested(const struct nlattr *nest, const struct nlattr **table, size_t count);

#endif

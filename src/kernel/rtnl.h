/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_RTNL_H
#define WEFT_KERNEL_RTNL_H

/*
 * Requests to the kernel's RTNETLINK (and other netlink families), one at a time, with exact errors: the errno value and the
 * kernel's own text (extended acknowledgement) both reach struct err. libnl builds and parses the messages; the sending and the
 * receiving are done here. One socket, one thread. After a failure of any kind the socket serves for the next request.
 */

#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum { KERN_RTNL_RECEIVE_SIZE = 32768 };

struct kern_rtnl {
	int fd; /* -1: closed */
	int family;
	bool home; /* it is one of the home namespace */
	bool
	    broken; /* an answer was not read to its end: the socket is replaced before the next request, if it can be */
	uint32_t port;
	uint32_t sequence;
	bool interrupted; /* the dump at hand: something changed under it */
};

#define KERN_RTNL_CLOSED                                                                                               \
	{                                                                                                              \
		.fd = -1                                                                                               \
	}

/* Opens a socket of FAMILY (NETLINK_ROUTE, ...) in the namespace of NETNS_FD; -1: the home namespace. 0 or -1 with ERR. */
int kern_rtnl_open(struct kern_rtnl *rtnl, int netns_fd, int family, struct err *err);

/* Harmless on a closed socket. */
void kern_rtnl_close(struct kern_rtnl *rtnl);

bool kern_rtnl_is_open(const struct kern_rtnl *rtnl);

/*
 * A message of TYPE that begins with BODY, such as a struct ifinfomsg, of SIZE bytes. FLAGS beside NLM_F_REQUEST. NULL: no
 * memory, which kern_rtnl_put() and kern_rtnl_send() pass on, so that only the last of these calls has to be checked.
 */
struct nl_msg *kern_rtnl_message(int type, int flags, const void *body, size_t size);

/* MESSAGE with one more attribute. NULL without memory, or without a message; MESSAGE is freed then. */
struct nl_msg *kern_rtnl_put(struct nl_msg *message, int type, const void *data, size_t size);
struct nl_msg *kern_rtnl_put_u32(struct nl_msg *message, int type, uint32_t value);
struct nl_msg *kern_rtnl_put_string(struct nl_msg *message, int type, const char *text);

/*
 * Sends MESSAGE, frees it, and waits for the acknowledgement. 0, or -1 with ERR: its code is the kernel's errno, its text begins
 * with FORMAT (the object's name) and has the kernel's explanation, if any. MESSAGE NULL: ENOMEM. Where the acknowledgement
 * itself was lost (ENOBUFS, ENOMEM), the request may have been done.
 */
int kern_rtnl_send(struct kern_rtnl *rtnl, struct nl_msg *message, struct err *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Looks at one message of an answer. 0, or -1: it is malformed, and the request fails with EBADMSG. */
typedef int kern_rtnl_take(const struct nlmsghdr *header, void *context);

/*
 * As kern_rtnl_send(), and hands each message of the answer to TAKE: for gets and dumps. An interrupted dump gives EINTR:
 * ask again.
 */
int kern_rtnl_ask(struct kern_rtnl *rtnl, struct nl_msg *message, kern_rtnl_take *take, void *context, struct err *err,
		  const char *format, ...) __attribute__((format(printf, 6, 7)));

/* Attributes after a body of OFFSET bytes, by type, into TABLE of COUNT pointers; unknown types are left out. */
void kern_rtnl_attributes(const struct nlmsghdr *header, size_t offset, const struct nlattr **table, size_t count);

/* The same of a nest. */
void kern_rtnl_nested(const struct nlattr *nest, const struct nlattr **table, size_t count);

/* The number in ATTR, as it stands there; OTHERWISE if ATTR is NULL or too short. Any thread. */
uint32_t kern_rtnl_u32(const struct nlattr *attr, uint32_t otherwise);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each request asks for an acknowledgement and is alone on its socket, so the answer is all that carries its sequence number, up
 * to NLMSG_ERROR (which reports success too) or NLMSG_DONE. Messages of an earlier request that was abandoned half way carry
 * another number and are skipped.
 *
 * libnl's own sending and receiving is not used: it folds several errno values into one, and callers depend on telling
 * EEXIST from EBUSY; and after one failed send its socket answers each later request with a sequence mismatch, which would
 * make a passing shortage of memory a verdict.
 *
 * The kernel answers before sendto(2) returns, so that a read that failed is tried again without waiting: only where the answer
 * itself was lost there is none. A dump that ended half way blocks all later dumps of its socket, and so the socket is replaced.
 */
#include "kernel/rtnl.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/netns.h"
#include "base/thread.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#ifndef NETLINK_GET_STRICT_CHK
#define NETLINK_GET_STRICT_CHK 12
#endif

enum { RECEIVE_TRIES = 8 };

int kern_rtnl_open(struct kern_rtnl *rtnl, int netns_fd, int family, struct err *err)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	socklen_t length = sizeof(address);
	int one = 1;

	*rtnl = (struct kern_rtnl)KERN_RTNL_CLOSED;
	AUTO_FD int fd = base_netns_socket(netns_fd, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, family, err);
	if (fd < 0) {
		err->code = err_talk_code(err->code);
		return err_wrap(err, "netlink");
	}
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &length) < 0)
		return err_set(err, err_talk_code(errno), "netlink");
	/* Old kernels refuse an option that they do not know: then errno has no explanation, and dumps are not filtered. */
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
	rtnl->port = address.nl_pid;
	rtnl->family = family;
	rtnl->home = netns_fd < 0;
	rtnl->fd = steal_fd(&fd);
	return 0;
}

/* A new socket in the place of a broken one. Where there is none, the old one goes on: most requests need no more. */
static void kern_rtnl_replace(struct kern_rtnl *rtnl)
{
	struct kern_rtnl fresh;
	struct err ignored;

	if (!rtnl->home || kern_rtnl_open(&fresh, -1, rtnl->family, &ignored) < 0)
		return;
	kern_rtnl_close(rtnl);
	*rtnl = fresh;
}

void kern_rtnl_close(struct kern_rtnl *rtnl)
{
	cleanup_fd(&rtnl->fd);
}

bool kern_rtnl_is_open(const struct kern_rtnl *rtnl)
{
	return rtnl->fd >= 0;
}

/* ---- Building ---- */

struct nl_msg *kern_rtnl_message(int type, int flags, const void *body, size_t size)
{
	struct nl_msg *message = nlmsg_alloc_simple(type, flags);

	/* libnl writes to no body: it only lacks the word const. */
	if (message && nlmsg_append(message, (void *)body, size, NLMSG_ALIGNTO) == 0)
		return message;
	nlmsg_free(message);
	return NULL;
}

struct nl_msg *kern_rtnl_put(struct nl_msg *message, int type, const void *data, size_t size)
{
	if (message && nla_put(message, type, (int)size, data) == 0)
		return message;
	nlmsg_free(message);
	return NULL;
}

struct nl_msg *kern_rtnl_put_u32(struct nl_msg *message, int type, uint32_t value)
{
	return kern_rtnl_put(message, type, &value, sizeof(value));
}

struct nl_msg *kern_rtnl_put_string(struct nl_msg *message, int type, const char *text)
{
	return kern_rtnl_put(message, type, text, strlen(text) + 1);
}

/* ---- Parsing ---- */

void kern_rtnl_attributes(const struct nlmsghdr *header, size_t offset, const struct nlattr **table, size_t count)
{
	memset(table, 0, count * sizeof(*table));
	/* A message that is too short has no attributes; libnl checks it only against its header. Parsing changes nothing of it. */
	if (nlmsg_datalen(header) < 0 || (size_t)nlmsg_datalen(header) < offset)
		return;
	(void)nlmsg_parse((struct nlmsghdr *)header, (int)offset, (struct nlattr **)table, (int)count - 1, NULL);
}

void kern_rtnl_nested(const struct nlattr *nest, const struct nlattr **table, size_t count)
{
	memset(table, 0, count * sizeof(*table));
	(void)nla_parse_nested((struct nlattr **)table, (int)count - 1, (struct nlattr *)nest, NULL);
}

uint32_t kern_rtnl_u32(const struct nlattr *attr, uint32_t otherwise)
{
	return attr && nla_len(attr) >= (int)sizeof(uint32_t) ? nla_get_u32(attr) : otherwise;
}

/* ---- Talking ---- */

/* A request that waits for its answer. */
struct exchange {
	struct kern_rtnl *rtnl;
	kern_rtnl_take *take; /* may be NULL */
	void *context;
	const char *name; /* of the object, for errors */
	struct err *err;
};

/* The kernel's own text in an acknowledgement, or NULL. */
static const char *kern_rtnl_explanation(const struct nlmsghdr *header, const struct nlmsgerr *error)
{
	const struct nlattr *table[NLMSGERR_ATTR_MSG + 1];
	const struct nlattr *text;
	size_t offset = sizeof(*error);

	if (!(header->nlmsg_flags & NLM_F_ACK_TLVS))
		return NULL;
	if (!(header->nlmsg_flags & NLM_F_CAPPED))
		offset += (size_t)nlmsg_datalen(&error->msg);
	kern_rtnl_attributes(header, offset, table, NLMSGERR_ATTR_MSG + 1);
	text = table[NLMSGERR_ATTR_MSG];
	return text && nla_len(text) > 0 && memchr(nla_data(text), '\0', (size_t)nla_len(text)) ? nla_get_string(text)
												: NULL;
}

/* How the receiving loop goes on after one message. */
enum verdict {
	GO_ON,     /* more is to come */
	FINISHED,  /* the request is done */
	FAILED,    /* ERR is set */
	ABANDONED, /* ERR is set, and more may come */
};

static enum verdict kern_rtnl_take_error(const struct exchange *exchange, const struct nlmsghdr *header)
{
	const struct nlmsgerr *error = nlmsg_data(header);
	const char *why;

	if (nlmsg_datalen(header) < (int)sizeof(*error)) {
		err_set(exchange->err, EBADMSG, "%s", exchange->name);
		return FAILED;
	}
	if (error->error == 0)
		return FINISHED;
	if (!err_is_answer(error->error)) {
		err_set(exchange->err, EBADMSG, "%s", exchange->name);
		return FAILED;
	}
	why = kern_rtnl_explanation(header, error);
	if (why)
		err_set(exchange->err, -error->error, "%s: %s", exchange->name, why);
	else
		err_set(exchange->err, -error->error, "%s", exchange->name);
	return FAILED;
}

/* A dump that fails half way reports the failure in its end. */
static enum verdict kern_rtnl_take_end(const struct exchange *exchange, const struct nlmsghdr *header)
{
	int code = 0;

	if (nlmsg_datalen(header) >= (int)sizeof(code))
		memcpy(&code, nlmsg_data(header), sizeof(code));
	if (code >= 0 && exchange->rtnl->interrupted)
		code = -EINTR;
	if (code >= 0)
		return FINISHED;
	err_set(exchange->err, err_is_answer(code) ? -code : EBADMSG, "%s", exchange->name);
	return FAILED;
}

static enum verdict kern_rtnl_take_message(const struct exchange *exchange, const struct nlmsghdr *header)
{
	/* An interrupted dump is read to its end all the same: the kernel begins no other before (EBUSY). */
	if (header->nlmsg_flags & NLM_F_DUMP_INTR)
		exchange->rtnl->interrupted = true;
	if (header->nlmsg_type == NLMSG_ERROR)
		return kern_rtnl_take_error(exchange, header);
	if (header->nlmsg_type == NLMSG_DONE)
		return kern_rtnl_take_end(exchange, header);
	if (exchange->rtnl->interrupted)
		return GO_ON;
	if (header->nlmsg_type >= NLMSG_MIN_TYPE && exchange->take && exchange->take(header, exchange->context) < 0) {
		err_set(exchange->err, EBADMSG, "%s", exchange->name);
		return ABANDONED;
	}
	return GO_ON;
}

static enum verdict kern_rtnl_take_packet(const struct exchange *exchange, char *buffer, int length)
{
	struct nlmsghdr *header = (struct nlmsghdr *)buffer;

	for (; nlmsg_ok(header, length); header = nlmsg_next(header, &length)) {
		enum verdict verdict;

		if (header->nlmsg_seq != exchange->rtnl->sequence || header->nlmsg_pid != exchange->rtnl->port)
			continue;
		verdict = kern_rtnl_take_message(exchange, header);
		if (verdict != GO_ON)
			return verdict;
	}
	return GO_ON;
}

static int kern_rtnl_fail(const struct exchange *exchange, int code)
{
	return err_set(exchange->err, err_talk_code(code), "%s: netlink (%s)", exchange->name, strerror(code));
}

/* The next packet of the answer: its size, or -1 with ERR. */
static ssize_t kern_rtnl_read(const struct exchange *exchange, char *buffer, size_t size)
{
	int code = 0, failures = 0;

	for (;;) {
		ssize_t got = recv(exchange->rtnl->fd, buffer, size, MSG_TRUNC | MSG_DONTWAIT);

		if (got > (ssize_t)size)
			return err_set(exchange->err, ENOSPC, "%s", exchange->name);
		if (got >= 0)
			return got;
		if (errno == EINTR)
			continue;
		/* The object may have been lost, and its acknowledgement may still come: that would be an answer without it. */
		if (exchange->take && errno == ENOBUFS)
			return kern_rtnl_fail(exchange, errno);
		/* Nothing is there: the answer was lost, perhaps untold, as a full socket says so once. */
		if (errno == EAGAIN)
			return kern_rtnl_fail(exchange, code ? code : ENOBUFS);
		if (++failures == RECEIVE_TRIES)
			return kern_rtnl_fail(exchange, code ? code : errno);
		if (!code)
			code = errno;
	}
}

/* The answer to the request that was just sent. 0, or -1 with ERR. */
static int kern_rtnl_receive(const struct exchange *exchange)
{
	_Alignas(struct nlmsghdr) char buffer[KERN_RTNL_RECEIVE_SIZE];
	enum verdict verdict = GO_ON;

	exchange->rtnl->broken = true;
	while (verdict == GO_ON) {
		base_thread_move();
		ssize_t got = kern_rtnl_read(exchange, buffer, sizeof(buffer));

		if (got < 0)
			return -1;
		verdict = kern_rtnl_take_packet(exchange, buffer, (int)got);
	}
	if (verdict != ABANDONED)
		exchange->rtnl->broken = false;
	return verdict == FINISHED ? 0 : -1;
}

static int kern_rtnl_write(const struct exchange *exchange, const struct nlmsghdr *header)
{
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	while (sendto(exchange->rtnl->fd, header, header->nlmsg_len, 0, (const struct sockaddr *)&kernel,
		      sizeof(kernel)) < 0) {
		if (errno != EINTR)
			return kern_rtnl_fail(exchange, errno);
	}
	return 0;
}

static int kern_rtnl_talk(const struct exchange *exchange, struct nl_msg *message, int flags)
{
	struct kern_rtnl *rtnl = exchange->rtnl;
	struct nlmsghdr *header;
	int result;

	if (!message)
		return err_set(exchange->err, ENOMEM, "%s", exchange->name);
	if (rtnl->broken)
		kern_rtnl_replace(rtnl);
	/* The kernel's own notices carry a 0. */
	if (++rtnl->sequence == 0)
		rtnl->sequence = 1;
	rtnl->interrupted = false;
	header = nlmsg_hdr(message);
	header->nlmsg_flags |= (uint16_t)(NLM_F_REQUEST | flags);
	header->nlmsg_seq = rtnl->sequence;
	header->nlmsg_pid = rtnl->port;
	base_thread_move();
	result = kern_rtnl_write(exchange, header);
	if (result == 0)
		result = kern_rtnl_receive(exchange);
	nlmsg_free(message);
	return result;
}

int kern_rtnl_send(struct kern_rtnl *rtnl, struct nl_msg *message, struct err *err, const char *format, ...)
{
	char name[128];
	va_list args;

	va_start(args, format);
	vsnprintf(name, sizeof(name), format, args);
	va_end(args);
	return kern_rtnl_talk(&(struct exchange){ .rtnl = rtnl, .name = name, .err = err }, message, NLM_F_ACK);
}

int kern_rtnl_ask(struct kern_rtnl *rtnl, struct nl_msg *message, kern_rtnl_take *take, void *context, struct err *err,
		  const char *format, ...)
{
	char name[128];
	va_list args;
	bool dump = message && (nlmsg_hdr(message)->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;

	va_start(args, format);
	vsnprintf(name, sizeof(name), format, args);
	va_end(args);
	/* A single get ends with its acknowledgement, a dump with NLMSG_DONE. */
	return kern_rtnl_talk(
	    &(struct exchange){ .rtnl = rtnl, .take = take, .context = context, .name = name, .err = err }, message,
	    dump ? 0 : NLM_F_ACK);
}

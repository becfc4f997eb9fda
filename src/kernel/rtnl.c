/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each request asks for an acknowledgement and is alone on its socket, so the answer is whatever comes with its sequence
 * number until NLMSG_ERROR (which is also how success is told) or NLMSG_DONE. Letters of an earlier request that was given up
 * half way carry another number and are skipped. libmnl rather than libnl here: libnl folds several errno values into one, and
 * callers depend on telling EEXIST from EBUSY.
 */
#include "kernel/rtnl.h"

#include "base/err.h"
#include "base/netns.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef NETLINK_GET_STRICT_CHK
#define NETLINK_GET_STRICT_CHK 12
#endif

int rtnl_open(struct rtnl *rtnl, int netns_fd, int family, struct err *err)
{
	int one = 1;
	int fd = netns_socket(netns_fd, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, family, err);

	if (fd < 0)
		return err_wrap(err, "netlink");
	rtnl->socket = mnl_socket_fdopen(fd);
	if (!rtnl->socket) {
		close(fd);
		return err_set(err, ENOMEM, "netlink");
	}
	if (mnl_socket_bind(rtnl->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		err_set(err, errno, "netlink");
		rtnl_close(rtnl);
		return -1;
	}
	/* Old kernels refuse what they do not know; then there is no explanation beside errno, and dumps are not filtered. */
	(void)mnl_socket_setsockopt(rtnl->socket, NETLINK_EXT_ACK, &one, sizeof(one));
	(void)mnl_socket_setsockopt(rtnl->socket, NETLINK_CAP_ACK, &one, sizeof(one));
	(void)mnl_socket_setsockopt(rtnl->socket, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
	rtnl->port = mnl_socket_get_portid(rtnl->socket);
	rtnl->sequence = 0;
	return 0;
}

void rtnl_close(struct rtnl *rtnl)
{
	if (rtnl->socket)
		mnl_socket_close(rtnl->socket);
	rtnl->socket = NULL;
}

void *rtnl_begin(struct rtnl_request *request, uint16_t type, unsigned flags, size_t extra)
{
	request->header = mnl_nlmsg_put_header(request->buffer);
	request->header->nlmsg_type = type;
	request->header->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	return mnl_nlmsg_put_extra_header(request->header, extra);
}

/* libmnl's own walk over attributes mixes long and int. */
#define FOR_EACH_ATTRIBUTE(attr, begin, end)                                                                           \
	for ((attr) = (begin); mnl_attr_ok((attr), (int)((const char *)(end) - (const char *)(attr)));                 \
	     (attr) = mnl_attr_next(attr))

/* The kernel's own words in an acknowledgement, or NULL. */
static const char *explanation(const struct nlmsghdr *header, const struct nlmsgerr *error)
{
	const struct nlattr *attr;
	size_t offset = sizeof(*error);

	if (!(header->nlmsg_flags & NLM_F_ACK_TLVS))
		return NULL;
	if (!(header->nlmsg_flags & NLM_F_CAPPED))
		offset += mnl_nlmsg_get_payload_len(&error->msg);
	FOR_EACH_ATTRIBUTE(attr, (const struct nlattr *)mnl_nlmsg_get_payload_offset(header, offset),
			   mnl_nlmsg_get_payload_tail(header))
	{
		if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG && mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			return mnl_attr_get_str(attr);
	}
	return NULL;
}

/* What a receiving loop has to do after one message. */
enum verdict {
	GO_ON,    /* more is to come */
	FINISHED, /* the request is done */
	FAILED,   /* ERR is set */
};

static enum verdict take_error(const struct nlmsghdr *header, const char *what, struct err *err)
{
	const struct nlmsgerr *error = mnl_nlmsg_get_payload(header);
	const char *why;

	if (mnl_nlmsg_get_payload_len(header) < sizeof(*error)) {
		err_set(err, EBADMSG, "%s", what);
		return FAILED;
	}
	if (error->error == 0)
		return FINISHED;
	why = explanation(header, error);
	if (why)
		err_set(err, -error->error, "%s: %s", what, why);
	else
		err_set(err, -error->error, "%s", what);
	return FAILED;
}

/* A dump that fails half way says so in its end. */
static enum verdict take_end(const struct rtnl *rtnl, const struct nlmsghdr *header, const char *what, struct err *err)
{
	int code = 0;

	if (mnl_nlmsg_get_payload_len(header) >= sizeof(code))
		memcpy(&code, mnl_nlmsg_get_payload(header), sizeof(code));
	if (code >= 0 && rtnl->interrupted)
		code = -EINTR;
	if (code >= 0)
		return FINISHED;
	err_set(err, -code, "%s", what);
	return FAILED;
}

static enum verdict take_message(struct rtnl *rtnl, const struct nlmsghdr *header, mnl_cb_t take, void *data,
				 const char *what, struct err *err)
{
	/* It is read to its end all the same: the kernel begins no other before (EBUSY). */
	if (header->nlmsg_flags & NLM_F_DUMP_INTR)
		rtnl->interrupted = true;
	if (header->nlmsg_type == NLMSG_ERROR)
		return take_error(header, what, err);
	if (header->nlmsg_type == NLMSG_DONE)
		return take_end(rtnl, header, what, err);
	if (rtnl->interrupted)
		return GO_ON;
	if (header->nlmsg_type >= NLMSG_MIN_TYPE && take && take(header, data) == MNL_CB_ERROR) {
		err_set(err, EBADMSG, "%s", what);
		return FAILED;
	}
	return GO_ON;
}

static enum verdict take_packet(struct rtnl *rtnl, const char *buffer, int length, mnl_cb_t take, void *data,
				const char *what, struct err *err)
{
	const struct nlmsghdr *header = (const struct nlmsghdr *)buffer;

	for (; mnl_nlmsg_ok(header, length); header = mnl_nlmsg_next(header, &length)) {
		enum verdict verdict;

		if (header->nlmsg_seq != rtnl->sequence || header->nlmsg_pid != rtnl->port)
			continue;
		verdict = take_message(rtnl, header, take, data, what, err);
		if (verdict != GO_ON)
			return verdict;
	}
	return GO_ON;
}

static int talk(struct rtnl *rtnl, struct rtnl_request *request, mnl_cb_t take, void *data, const char *what,
		struct err *err)
{
	_Alignas(struct nlmsghdr) char buffer[RTNL_RECEIVE_SIZE];
	enum verdict verdict = GO_ON;

	/* 0 is what the kernel's own notices carry. */
	if (++rtnl->sequence == 0)
		rtnl->sequence = 1;
	rtnl->interrupted = false;
	request->header->nlmsg_seq = rtnl->sequence;
	request->header->nlmsg_pid = rtnl->port;
	if (mnl_socket_sendto(rtnl->socket, request->header, request->header->nlmsg_len) < 0)
		return err_set(err, errno, "%s", what);
	while (verdict == GO_ON) {
		ssize_t got = mnl_socket_recvfrom(rtnl->socket, buffer, sizeof(buffer));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_set(err, errno, "%s", what);
		verdict = take_packet(rtnl, buffer, (int)got, take, data, what, err);
	}
	return verdict == FINISHED ? 0 : -1;
}

int rtnl_send(struct rtnl *rtnl, struct rtnl_request *request, struct err *err, const char *format, ...)
{
	char what[128];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	request->header->nlmsg_flags |= NLM_F_ACK;
	return talk(rtnl, request, NULL, NULL, what, err);
}

int rtnl_ask(struct rtnl *rtnl, struct rtnl_request *request, mnl_cb_t take, void *data, struct err *err,
	     const char *format, ...)
{
	char what[128];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	/* A single get ends with its acknowledgement, a dump with NLMSG_DONE. */
	if ((request->header->nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
		request->header->nlmsg_flags |= NLM_F_ACK;
	return talk(rtnl, request, take, data, what, err);
}

void rtnl_attributes(const struct nlmsghdr *header, size_t offset, const struct nlattr **table, size_t count)
{
	const struct nlattr *attr;

	memset(table, 0, count * sizeof(*table));
	FOR_EACH_ATTRIBUTE(attr, (const struct nlattr *)mnl_nlmsg_get_payload_offset(header, offset),
			   mnl_nlmsg_get_payload_tail(header))
	{
		if (mnl_attr_get_type(attr) < count)
			table[mnl_attr_get_type(attr)] = attr;
	}
}

void rtnl_nested(const struct nlattr *nest, const struct nlattr **table, size_t count)
{
	const struct nlattr *attr;

	memset(table, 0, count * sizeof(*table));
	FOR_EACH_ATTRIBUTE(attr, (const struct nlattr *)mnl_attr_get_payload(nest),
			   (const char *)mnl_attr_get_payload(nest) + mnl_attr_get_payload_len(nest))
	{
		if (mnl_attr_get_type(attr) < count)
			table[mnl_attr_get_type(attr)] = attr;
	}
}

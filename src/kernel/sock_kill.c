/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel lists a namespace's sockets and ends each that it is asked to, by the same identity (inet_diag). The list is taken
 * whole first: a dump and a request do not mix on one socket.
 */
#include "kernel/sock_kill.h"

#include "base/err.h"
#include "base/vec.h"
#include "kernel/rtnl.h"
#include "kernel/sock_list.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>

struct socket_list {
	VEC_OF(struct inet_diag_msg);
	uint8_t protocol; /* IPPROTO_* */
	bool broken;      /* no memory */
};

static int kern_sock_kill_take(const struct nlmsghdr *header, void *context)
{
	struct socket_list *list = context;
	struct inet_diag_msg *found;

	if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY || nlmsg_datalen(header) < (int)sizeof(*found))
		return 0;
	found = vec_push(list);
	if (!found) {
		list->broken = true;
		return 0;
	}
	memcpy(found, nlmsg_data(header), sizeof(*found));
	return 0;
}

static int kern_sock_kill_one(struct kern_rtnl *diag, uint8_t protocol, const struct inet_diag_msg *socket,
			      struct err *err)
{
	const struct inet_diag_req_v2 body = { .sdiag_family = socket->idiag_family,
					       .sdiag_protocol = protocol,
					       .id = socket->id };

	return kern_rtnl_send(diag, kern_rtnl_message(SOCK_DESTROY, 0, &body, sizeof(body)), err, "ending a socket");
}

/* Whether the socket may be there still only because the kernel had no room for the request. */
static bool kern_sock_kill_is_shortage(int code)
{
	return code == ENOMEM || code == ENOBUFS || code == EAGAIN;
}

/* *COUNT: of those that were there to be ended. */
static int kern_sock_kill_each(struct kern_rtnl *diag, const struct socket_list *list, size_t *count, struct err *err)
{
	for (size_t i = 0; i < list->count; i++) {
		/* ENOENT: it ended by itself. A kernel that cannot end sockets (EOPNOTSUPP) leaves them to their timeouts. */
		if (kern_sock_kill_one(diag, list->protocol, &list->items[i], err) == 0)
			(*count)++;
		else if (kern_sock_kill_is_shortage(err->code))
			return -1;
	}
	return 0;
}

static int kern_sock_kill_family(struct kern_rtnl *diag, uint8_t family, struct err *err)
{
	const struct inet_diag_req_v2 body = { .sdiag_family = family,
					       .sdiag_protocol = IPPROTO_TCP,
					       .idiag_states = UINT32_MAX };
	struct socket_list list = { .protocol = IPPROTO_TCP };
	size_t count = 0;
	struct nl_msg *message = kern_rtnl_message(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &body, sizeof(body));
	int result = kern_rtnl_ask(diag, message, kern_sock_kill_take, &list, err, "sockets");

	if (result == 0 && list.broken)
		result = err_set(err, ENOMEM, "sockets");
	if (result == 0)
		result = kern_sock_kill_each(diag, &list, &count, err);
	vec_free(&list);
	return result;
}

int kern_sock_kill_all(int netns_fd, struct err *err)
{
	struct kern_rtnl diag;
	int result;

	if (kern_rtnl_open(&diag, netns_fd, NETLINK_SOCK_DIAG, err) < 0)
		return -1;
	result = kern_sock_kill_family(&diag, AF_INET, err);
	kern_rtnl_close(&diag);
	return result;
}

static void kern_sock_kill_note(void *context, const struct kern_sock *sock)
{
	struct socket_list *list = context;
	struct inet_diag_msg *found = vec_push(list);

	if (found)
		*found = sock->identity;
	else
		list->broken = true;
}

int kern_sock_kill_to(const struct kern_sock_filter *filter, size_t *count, struct err *err)
{
	struct socket_list list = { .protocol = filter->proto == PROTO_TCP ? IPPROTO_TCP : IPPROTO_UDP };
	struct kern_rtnl diag = KERN_RTNL_CLOSED;
	size_t ended = 0;
	int result = kern_sock_list_to(filter, kern_sock_kill_note, &list, err);

	if (result == 0 && list.broken)
		result = err_set(err, ENOMEM, "sockets");
	if (result == 0 && list.count)
		result = kern_rtnl_open(&diag, -1, NETLINK_SOCK_DIAG, err);
	if (result == 0)
		result = kern_sock_kill_each(&diag, &list, &ended, err);
	kern_rtnl_close(&diag);
	vec_free(&list);
	if (count)
		*count = ended;
	return result;
}

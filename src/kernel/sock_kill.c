/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel lists a namespace's sockets and ends those it is told to, by the same address (inet_diag). The list is taken
 * whole first: a dump and a request do not mix on one socket.
 */
#include "kernel/sock_kill.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "kernel/rtnl.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

struct list {
	struct inet_diag_msg *items;
	size_t count, room;
};

static int take(const struct nlmsghdr *header, void *data)
{
	struct list *list = data;

	if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
	    mnl_nlmsg_get_payload_len(header) < sizeof(struct inet_diag_msg))
		return MNL_CB_OK;
	if (list->count == list->room) {
		size_t room = list->room ? list->room * 2 : 64;
		void *items = reallocarray(list->items, room, sizeof(*list->items));

		if (!items)
			return MNL_CB_ERROR;
		list->items = items;
		list->room = room;
	}
	memcpy(&list->items[list->count++], mnl_nlmsg_get_payload(header), sizeof(struct inet_diag_msg));
	return MNL_CB_OK;
}

static int kill_one(struct rtnl *diag, const struct inet_diag_msg *socket, struct err *err)
{
	struct rtnl_request request;
	struct inet_diag_req_v2 *body = rtnl_begin(&request, SOCK_DESTROY, 0, sizeof(*body));

	body->sdiag_family = socket->idiag_family;
	body->sdiag_protocol = IPPROTO_TCP;
	body->id = socket->id;
	return rtnl_send(diag, &request, err, "ending a socket");
}

static int kill_family(struct rtnl *diag, uint8_t family, struct err *err)
{
	struct list list = { 0 };
	struct rtnl_request request;
	struct inet_diag_req_v2 *body = rtnl_begin(&request, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, sizeof(*body));
	int result;

	body->sdiag_family = family;
	body->sdiag_protocol = IPPROTO_TCP;
	body->idiag_states = UINT32_MAX;
	result = rtnl_ask(diag, &request, take, &list, err, "sockets");
	for (size_t i = 0; result == 0 && i < list.count; i++) {
		/* ENOENT: it ended by itself. */
		if (kill_one(diag, &list.items[i], err) < 0 && err->code == EOPNOTSUPP)
			break;
	}
	free(list.items);
	return result;
}

int sock_kill_all(int netns_fd, struct err *err)
{
	struct rtnl diag;
	int result;

	if (rtnl_open(&diag, netns_fd, NETLINK_SOCK_DIAG, err) < 0)
		return -1;
	result = kill_family(&diag, AF_INET, err);
	rtnl_close(&diag);
	return result;
}

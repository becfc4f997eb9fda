/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel looks a unix socket up by its inode alone, so all of the namespace are listed, and their names compared here.
 */
#include "inspect/unix_socket.h"

#include "base/err.h"
#include "kernel/rtnl.h"

#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <string.h>
#include <sys/socket.h>

enum { UNIX_ATTRIBUTES = UNIX_DIAG_MAX + 1 };

struct unix_search {
	const char *name;
	uid_t uid;
	int found;
};

static int inspect_unix_socket_take(const struct nlmsghdr *header, void *context)
{
	struct unix_search *search = context;
	const struct nlattr *table[UNIX_ATTRIBUTES];
	size_t length = strlen(search->name);

	if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY)
		return 0;
	kern_rtnl_attributes(header, sizeof(struct unix_diag_msg), table, UNIX_ATTRIBUTES);
	const struct nlattr *name = table[UNIX_DIAG_NAME], *uid = table[UNIX_DIAG_UID];
	if (!name || !uid || nla_len(uid) != sizeof(uint32_t) || (size_t)nla_len(name) != 1 + length)
		return 0;
	const char *bytes = nla_data(name);
	if (bytes[0] || memcmp(bytes + 1, search->name, length) != 0)
		return 0;
	search->uid = nla_get_u32(uid);
	search->found = 1;
	return 0;
}

int inspect_unix_socket_owner(const char *name, uid_t *uid, struct err *err)
{
	const struct unix_diag_req body = { .sdiag_family = AF_UNIX,
					    .udiag_states = UINT32_MAX,
					    .udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_UID };
	struct unix_search search = { .name = name };
	struct kern_rtnl diag;

	if (kern_rtnl_open(&diag, -1, NETLINK_SOCK_DIAG, err) < 0)
		return -1;
	struct nl_msg *message = kern_rtnl_message(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &body, sizeof(body));
	int result = kern_rtnl_ask(&diag, message, inspect_unix_socket_take, &search, err, "unix sockets");
	kern_rtnl_close(&diag);
	*uid = search.uid;
	return result < 0 ? -1 : search.found;
}

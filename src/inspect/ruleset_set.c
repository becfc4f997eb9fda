/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * People write rules like `ct state { established, related }` and `ct state vmap { ... }`, so sets of a few plain elements are
 * read. An interval shows as two elements; the second has the flag of an end.
 */
#include "inspect/ruleset_set.h"

#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <libnftnl/set.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

struct set_gathering {
	struct ruleset_element *elements;
	size_t count;
	bool strange;
};

enum ruleset_verdict inspect_ruleset_verdict_of(int number)
{
	switch (number) {
	case NF_ACCEPT:
		return VERDICT_ACCEPT;
	case NF_DROP:
		return VERDICT_DROP;
	case NFT_JUMP:
		return VERDICT_JUMP;
	case NFT_GOTO:
		return VERDICT_GOTO;
	case NFT_RETURN:
		return VERDICT_RETURN;
	case NFT_CONTINUE:
		return VERDICT_NONE;
	default: /* a queue, or a verdict of later kernels */
		return VERDICT_UNKNOWN;
	}
}

static int inspect_ruleset_set_take_element(struct nftnl_set_elem *element, void *data)
{
	struct set_gathering *gathering = data;
	uint32_t length = 0;
	const void *key = nftnl_set_elem_get(element, NFTNL_SET_ELEM_KEY, &length);

	if (!key || length > 16 || gathering->count == RULESET_ELEMENTS_MAX ||
	    nftnl_set_elem_is_set(element, NFTNL_SET_ELEM_KEY_END) ||
	    (nftnl_set_elem_is_set(element, NFTNL_SET_ELEM_FLAGS) &&
	     nftnl_set_elem_get_u32(element, NFTNL_SET_ELEM_FLAGS))) {
		gathering->strange = true;
		return 0;
	}
	struct ruleset_element *taken = &gathering->elements[gathering->count++];
	*taken = (struct ruleset_element){ .length = (uint8_t)length, .verdict = VERDICT_UNKNOWN };
	memcpy(taken->key, key, length);
	if (nftnl_set_elem_is_set(element, NFTNL_SET_ELEM_VERDICT)) {
		const char *chain = nftnl_set_elem_get_str(element, NFTNL_SET_ELEM_CHAIN);
		taken->verdict =
		    inspect_ruleset_verdict_of((int)nftnl_set_elem_get_u32(element, NFTNL_SET_ELEM_VERDICT));
		snprintf(taken->target, sizeof(taken->target), "%.63s", chain ? chain : "");
	}
	return 0;
}

static int inspect_ruleset_set_take_elements(const struct nlmsghdr *message, void *data)
{
	struct nftnl_set *set = nftnl_set_alloc();

	if (!set)
		return MNL_CB_ERROR;
	int parsed = nftnl_set_elems_nlmsg_parse(message, set);
	if (parsed == 0)
		nftnl_set_elem_foreach(set, inspect_ruleset_set_take_element, data);
	nftnl_set_free(set);
	return parsed == 0 ? MNL_CB_OK : MNL_CB_ERROR;
}

/* Requests and collects the elements. False: that failed. */
static bool inspect_ruleset_set_dump(struct mnl_socket *socket, uint32_t family, const struct nftnl_set *set,
				     struct set_gathering *gathering)
{
	char buffer[1 << 16];
	int result = 1;
	struct nlmsghdr *message = nftnl_nlmsg_build_hdr(buffer, NFT_MSG_GETSETELEM, (uint16_t)family, NLM_F_DUMP, 1);

	nftnl_set_elems_nlmsg_build_payload(message, (struct nftnl_set *)set);
	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(socket, message, message->nlmsg_len) < 0)
		return false;
	while (result > 0) {
		ssize_t length = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));
		if (length < 0)
			return false;
		result = mnl_cb_run(buffer, (size_t)length, 1, mnl_socket_get_portid(socket),
				    inspect_ruleset_set_take_elements, gathering);
	}
	return result == 0;
}

bool inspect_ruleset_read_set(uint32_t family, const char *table, const char *set_name,
			      struct ruleset_element elements[static RULESET_ELEMENTS_MAX], size_t *count)
{
	struct set_gathering gathering = { .elements = elements };
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	struct nftnl_set *set = nftnl_set_alloc();
	bool read = false;

	if (socket && set && set_name) {
		nftnl_set_set_str(set, NFTNL_SET_TABLE, table);
		nftnl_set_set_str(set, NFTNL_SET_NAME, set_name);
		read = inspect_ruleset_set_dump(socket, family, set, &gathering);
	}
	if (set)
		nftnl_set_free(set);
	if (socket)
		mnl_socket_close(socket);
	*count = gathering.count;
	return read && !gathering.strange;
}

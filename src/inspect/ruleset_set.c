/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads the sets that rules look into, anonymous ones (`{ 80, 443, 8000-9000 }`) and named ones alike. In a set of intervals the
 * kernel reports where an interval begins and, as an element of its own, where it has ended; they become one. A concatenation of
 * intervals has both ends in each element.
 */
#include "inspect/ruleset_nft.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/set.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { ELEMENTS_MAX = 1 << 16 }; /* about 14 MB */

enum ruleset_verdict inspect_verdict_of(int number)
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

/* ---- The set itself ---- */

static uint32_t inspect_set_number(const struct nlattr *attr)
{
	return mnl_attr_get_payload_len(attr) >= sizeof(uint32_t) ? ntohl(mnl_attr_get_u32(attr)) : 0;
}

/* DESC > CONCAT > ELEM > FIELD_LEN: the lengths of the fields of a concatenation. */
static int inspect_set_take_length(const struct nlattr *attr, void *data)
{
	struct ruleset_set *set = data;

	if (mnl_attr_get_type(attr) != NFTA_SET_FIELD_LEN)
		return MNL_CB_OK;
	if (set->field_count == sizeof(set->fields))
		set->unreadable = true;
	else
		set->fields[set->field_count++] = (uint8_t)inspect_set_number(attr);
	return MNL_CB_OK;
}

static int inspect_set_take_field(const struct nlattr *attr, void *data)
{
	return mnl_attr_parse_nested(attr, inspect_set_take_length, data);
}

static int inspect_set_take_description(const struct nlattr *attr, void *data)
{
	return mnl_attr_get_type(attr) == NFTA_SET_DESC_CONCAT
		   ? mnl_attr_parse_nested(attr, inspect_set_take_field, data)
		   : MNL_CB_OK;
}

static int inspect_set_take_attribute(const struct nlattr *attr, void *data)
{
	struct ruleset_set *set = data;
	uint32_t number = inspect_set_number(attr);

	switch (mnl_attr_get_type(attr)) {
	case NFTA_SET_FLAGS:
		set->interval = number & NFT_SET_INTERVAL;
		break;
	case NFTA_SET_KEY_LEN:
		set->key_length = (uint8_t)(number <= RULESET_KEY_SIZE ? number : 0);
		break;
	case NFTA_SET_DATA_LEN:
		set->data_length = (uint8_t)(number < UINT8_MAX ? number : UINT8_MAX);
		break;
	case NFTA_SET_DESC:
		return mnl_attr_parse_nested(attr, inspect_set_take_description, data);
	}
	return MNL_CB_OK;
}

static int inspect_set_take(const struct nlmsghdr *message, void *data)
{
	return mnl_attr_parse(message, sizeof(struct nfgenmsg), inspect_set_take_attribute, data);
}

/* ---- Its elements ---- */

static int inspect_set_take_expression(struct nftnl_expr *expression, void *data)
{
	struct ruleset_element *element = data;
	const char *name = nftnl_expr_get_str(expression, NFTNL_EXPR_NAME);

	if (strcmp(name, "counter") != 0 && strcmp(name, "last") != 0)
		element->doubtful = true;
	return 0;
}

static void inspect_set_read_data(struct nftnl_set_elem *from, struct ruleset_element *element)
{
	uint32_t length = 0;

	if (nftnl_set_elem_is_set(from, NFTNL_SET_ELEM_VERDICT)) {
		const char *chain = nftnl_set_elem_get_str(from, NFTNL_SET_ELEM_CHAIN);
		element->verdict = inspect_verdict_of((int)nftnl_set_elem_get_u32(from, NFTNL_SET_ELEM_VERDICT));
		snprintf(element->target, sizeof(element->target), "%.63s", chain ? chain : "");
	}
	if (nftnl_set_elem_is_set(from, NFTNL_SET_ELEM_DATA)) {
		const void *data = nftnl_set_elem_get(from, NFTNL_SET_ELEM_DATA, &length);
		element->has_data = data && length <= sizeof(element->data);
		if (element->has_data)
			memcpy(element->data, data, length);
	}
}

/* Copies a key; one that is not as long as the set says makes the element one that perhaps is any. */
static bool inspect_set_copy_key(const struct ruleset_set *set, struct nftnl_set_elem *from, uint16_t attribute,
				 uint8_t key[static RULESET_KEY_SIZE])
{
	uint32_t length = 0;
	const void *data = nftnl_set_elem_get(from, attribute, &length);

	if (!data || length != set->key_length)
		return false;
	memcpy(key, data, length);
	return true;
}

static int inspect_set_take_element(struct nftnl_set_elem *from, void *data)
{
	struct ruleset_set *set = data;
	struct ruleset_element *element =
	    set->unreadable || set->elements.count == ELEMENTS_MAX ? NULL : vec_push(&set->elements);
	uint32_t flags =
	    nftnl_set_elem_is_set(from, NFTNL_SET_ELEM_FLAGS) ? nftnl_set_elem_get_u32(from, NFTNL_SET_ELEM_FLAGS) : 0;

	if (!element) {
		set->unreadable = true;
		return 0;
	}
	*element = (struct ruleset_element){ .end = flags & NFT_SET_ELEM_INTERVAL_END,
					     .any = flags & NFT_SET_ELEM_CATCHALL,
					     .verdict = VERDICT_NONE };
	nftnl_set_elem_expr_foreach(from, inspect_set_take_expression, element);
	inspect_set_read_data(from, element);
	if (element->any)
		return 0;
	if (!inspect_set_copy_key(set, from, NFTNL_SET_ELEM_KEY, element->low))
		set->unreadable = true;
	memcpy(element->high, element->low, sizeof(element->high));
	if (nftnl_set_elem_is_set(from, NFTNL_SET_ELEM_KEY_END) &&
	    !inspect_set_copy_key(set, from, NFTNL_SET_ELEM_KEY_END, element->high))
		set->unreadable = true;
	return 0;
}

static int inspect_set_take_elements(const struct nlmsghdr *message, void *data)
{
	struct nftnl_set *set = nftnl_set_alloc();

	if (!set)
		return MNL_CB_ERROR;
	int parsed = nftnl_set_elems_nlmsg_parse(message, set);
	if (parsed == 0)
		nftnl_set_elem_foreach(set, inspect_set_take_element, data);
	nftnl_set_free(set);
	return parsed == 0 ? MNL_CB_OK : MNL_CB_ERROR;
}

/* By where they begin; an interval that ends before one that begins there; the element for all keys last. */
static int inspect_set_compare(const void *left, const void *right)
{
	const struct ruleset_element *a = left, *b = right;

	if (a->any != b->any)
		return a->any ? 1 : -1;
	int order = memcmp(a->low, b->low, sizeof(a->low));
	return order ? order : (int)b->end - (int)a->end;
}

/* HIGH = the key before that one. */
static void inspect_set_end_before(const struct ruleset_set *set, const uint8_t *key, uint8_t *high)
{
	memcpy(high, key, set->key_length);
	for (size_t i = set->key_length; i-- > 0;)
		if (high[i]-- != 0)
			break;
}

/* Makes one element of the two at which an interval begins and has ended. */
static void inspect_set_join(struct ruleset_set *set)
{
	size_t kept = 0;

	for (size_t i = 0; i < set->elements.count; i++) {
		struct ruleset_element *element = &set->elements.items[i];
		const struct ruleset_element *next = i + 1 < set->elements.count ? element + 1 : NULL;
		if (element->end)
			continue;
		if (element->any) {
			/* for all keys */
		} else if (next && !next->any) {
			inspect_set_end_before(set, next->low, element->high);
		} else {
			memset(element->high, 0xff, set->key_length);
		}
		set->elements.items[kept++] = *element;
	}
	set->elements.count = kept;
}

static void inspect_set_arrange(struct ruleset_set *set)
{
	bool concatenated = set->field_count > 1;

	if (!set->elements.count || set->unreadable)
		return;
	/* In a concatenation of intervals the first element that has a key counts; they are told apart by the kernel. */
	qsort(set->elements.items, set->elements.count, sizeof(set->elements.items[0]), inspect_set_compare);
	if (set->interval && !concatenated)
		inspect_set_join(set);
}

/* ---- Asking ---- */

static int inspect_set_request(struct mnl_socket *socket, const struct ruleset_set *set, uint16_t type, uint16_t flags,
			       mnl_cb_t take, void *context)
{
	char buffer[1 << 16];
	uint16_t family = strcmp(set->family, "ip") == 0 ? NFPROTO_IPV4 : NFPROTO_INET;
	int result = 1;
	struct nlmsghdr *message = nftnl_nlmsg_build_hdr(buffer, type, family, flags, type);

	/* Both kinds of request name table and set by the same attributes. */
	mnl_attr_put_strz(message, NFTA_SET_TABLE, set->table);
	mnl_attr_put_strz(message, NFTA_SET_NAME, set->name);
	if (mnl_socket_sendto(socket, message, message->nlmsg_len) < 0)
		return -1;
	while (result > 0) {
		ssize_t length = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));
		if (length < 0)
			return -1;
		result = mnl_cb_run(buffer, (size_t)length, type, mnl_socket_get_portid(socket), take, context);
	}
	return result;
}

int inspect_set_read_all(struct mnl_socket *socket, struct ruleset *ruleset)
{
	for (size_t i = 0; i < ruleset->sets.count; i++) {
		struct ruleset_set *set = &ruleset->sets.items[i];
		if (inspect_set_request(socket, set, NFT_MSG_GETSET, NLM_F_ACK, inspect_set_take, set) < 0)
			return -1;
		set->unreadable = set->unreadable || !set->key_length;
		if (!set->unreadable && inspect_set_request(socket, set, NFT_MSG_GETSETELEM, NLM_F_DUMP,
							    inspect_set_take_elements, set) < 0)
			return -1;
		inspect_set_arrange(set);
	}
	return 0;
}

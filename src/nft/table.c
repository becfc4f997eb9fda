/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Attributes are written straight into the batch. Numbers in netlink attributes are big-endian, and so are keys, except marks
 * and links. A field of a concatenated key takes 4 bytes. The userdata of sets means something to nft(8) alone; the kernel
 * stores it.
 */
#include "nft/table.h"

#include <endian.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <stdlib.h>
#include <string.h>

enum {
	MESSAGE_ROOM = 512,
	ELEMENT_ROOM = 160,     /* the most that one element takes */
	ELEMENTS_BYTES = 56000, /* of one message: the list's length has 16 bits */
	TYPE_BITS = 6,          /* of a data type's number in a concatenation */
	BYTE_ORDER_HOST = 1,    /* nft(8)'s numbers */
	BYTE_ORDER_BIG = 2,
	UDATA_KEY_ORDER = 0,
	UDATA_DATA_ORDER = 1,
	UDATA_COMMENT = 0, /* of a chain */
};

/* The fields of a key, in the order of a concatenation. TYPE: nft's number for the data type. */
static const struct nft_set_field {
	enum nft_key key;
	unsigned type;
	uint8_t length;
} fields[] = {
	{ NFT_KEY_LINK, 20, 4 }, { NFT_KEY_ADDRESS, 7, 4 }, { NFT_KEY_PROTO, 12, 1 },
	{ NFT_KEY_PORT, 13, 2 }, { NFT_KEY_MARK, 19, 4 },
};

enum { FIELDS = sizeof(fields) / sizeof(fields[0]) };

static bool nft_key_is_concatenation(unsigned key)
{
	return (key & (key - 1)) != 0;
}

static uint32_t nft_key_type(unsigned key)
{
	uint32_t type = 0;

	for (size_t i = 0; i < FIELDS; i++)
		if (key & fields[i].key)
			type = type << TYPE_BITS | fields[i].type;
	return type;
}

static uint32_t nft_key_length(unsigned key)
{
	uint32_t length = 0;

	for (size_t i = 0; i < FIELDS; i++)
		if (key & fields[i].key)
			length += nft_key_is_concatenation(key) ? 4 : fields[i].length;
	return length;
}

static void nft_put_u32(struct nlmsghdr *message, uint16_t type, uint32_t value)
{
	mnl_attr_put_u32(message, type, htobe32(value));
}

static void nft_put_u64(struct nlmsghdr *message, uint16_t type, uint64_t value)
{
	mnl_attr_put_u64(message, type, htobe64(value));
}

/* The flags of a message that adds something. */
static int nft_adding(const struct nft_batch *batch)
{
	return batch->over ? NLM_F_CREATE : NLM_F_CREATE | NLM_F_EXCL;
}

/* ---- Table, chains, counters ---- */

void nft_table_add(struct nft_batch *batch, int flags)
{
	struct nlmsghdr *message =
	    nft_batch_open(batch, NFT_MSG_NEWTABLE, batch->over ? NLM_F_CREATE : NLM_F_CREATE | flags, MESSAGE_ROOM);

	if (!message)
		return;
	mnl_attr_put_strz(message, NFTA_TABLE_NAME, NFT_TABLE_NAME);
	nft_put_u32(message, NFTA_TABLE_FLAGS, 0);
	nft_batch_close(batch);
}

/* Adds a message of TYPE about the thing that ATTR names, or about the whole table. */
static void nft_put_named(struct nft_batch *batch, int type, uint16_t table, uint16_t attr, const char *name)
{
	struct nlmsghdr *message = nft_batch_open(batch, type, 0, MESSAGE_ROOM);

	if (!message)
		return;
	mnl_attr_put_strz(message, table, NFT_TABLE_NAME);
	if (name)
		mnl_attr_put_strz(message, attr, name);
	nft_batch_close(batch);
}

void nft_table_delete(struct nft_batch *batch)
{
	nft_put_named(batch, NFT_MSG_DELTABLE, NFTA_TABLE_NAME, 0, NULL);
}

static void nft_put_hook(struct nlmsghdr *message, const struct nft_hook *hook)
{
	struct nlattr *nest = mnl_attr_nest_start(message, NFTA_CHAIN_HOOK);

	nft_put_u32(message, NFTA_HOOK_HOOKNUM, hook->hook);
	nft_put_u32(message, NFTA_HOOK_PRIORITY, (uint32_t)hook->priority);
	if (hook->device)
		mnl_attr_put_strz(message, NFTA_HOOK_DEV, hook->device);
	mnl_attr_nest_end(message, nest);
	nft_put_u32(message, NFTA_CHAIN_POLICY, hook->drops ? NF_DROP : NF_ACCEPT);
	mnl_attr_put_strz(message, NFTA_CHAIN_TYPE, hook->type == NFT_CHAIN_NAT ? "nat" : "filter");
}

static void nft_put_comment(struct nlmsghdr *message, uint16_t attr, const char *comment)
{
	char data[130] = { UDATA_COMMENT };
	size_t length = strnlen(comment, sizeof(data) - 3);

	data[1] = (char)(length + 1);
	memcpy(data + 2, comment, length);
	mnl_attr_put(message, attr, length + 3, data);
}

void nft_chain_add(struct nft_batch *batch, const char *name, const struct nft_hook *hook, const char *comment)
{
	struct nlmsghdr *message = nft_batch_open(batch, NFT_MSG_NEWCHAIN, nft_adding(batch), MESSAGE_ROOM);

	if (!message)
		return;
	mnl_attr_put_strz(message, NFTA_CHAIN_TABLE, NFT_TABLE_NAME);
	mnl_attr_put_strz(message, NFTA_CHAIN_NAME, name);
	if (hook)
		nft_put_hook(message, hook);
	if (comment)
		nft_put_comment(message, NFTA_CHAIN_USERDATA, comment);
	nft_batch_close(batch);
	if (batch->over)
		nft_chain_flush(batch, name);
}

void nft_chain_delete(struct nft_batch *batch, const char *name)
{
	nft_put_named(batch, NFT_MSG_DELCHAIN, NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME, name);
}

void nft_chain_flush(struct nft_batch *batch, const char *name)
{
	nft_put_named(batch, NFT_MSG_DELRULE, NFTA_RULE_TABLE, NFTA_RULE_CHAIN, name);
}

void nft_counter_add(struct nft_batch *batch, const char *name, uint64_t packets, uint64_t bytes)
{
	struct nlmsghdr *message = nft_batch_open(batch, NFT_MSG_NEWOBJ, nft_adding(batch), MESSAGE_ROOM);

	if (!message)
		return;
	mnl_attr_put_strz(message, NFTA_OBJ_TABLE, NFT_TABLE_NAME);
	mnl_attr_put_strz(message, NFTA_OBJ_NAME, name);
	nft_put_u32(message, NFTA_OBJ_TYPE, NFT_OBJECT_COUNTER);
	struct nlattr *nest = mnl_attr_nest_start(message, NFTA_OBJ_DATA);
	nft_put_u64(message, NFTA_COUNTER_BYTES, bytes);
	nft_put_u64(message, NFTA_COUNTER_PACKETS, packets);
	mnl_attr_nest_end(message, nest);
	nft_batch_close(batch);
}

/* ---- Sets ---- */

static void nft_put_userdata(struct nlmsghdr *message, const struct nft_set *set)
{
	struct {
		uint8_t type, length;
		uint32_t value;
	} __attribute__((packed)) data[] = {
		/* In a concatenation each field has its own. */
		{ UDATA_KEY_ORDER, 4,
		  nft_key_is_concatenation(set->key) ? 0
		  : set->key == NFT_KEY_LINK         ? BYTE_ORDER_HOST
						     : BYTE_ORDER_BIG },
		{ UDATA_DATA_ORDER, 4, 0 },
	};

	mnl_attr_put(message, NFTA_SET_USERDATA, set->map ? sizeof(data) : sizeof(data[0]), data);
}

static void nft_put_description(struct nlmsghdr *message, const struct nft_set *set)
{
	struct nlattr *nest = mnl_attr_nest_start(message, NFTA_SET_DESC);

	if (set->size)
		nft_put_u32(message, NFTA_SET_DESC_SIZE, set->size);
	if (set->interval && nft_key_is_concatenation(set->key)) {
		struct nlattr *list = mnl_attr_nest_start(message, NFTA_SET_DESC_CONCAT);
		for (size_t i = 0; i < FIELDS; i++) {
			if (!(set->key & fields[i].key))
				continue;
			struct nlattr *item = mnl_attr_nest_start(message, NFTA_LIST_ELEM);
			nft_put_u32(message, NFTA_SET_FIELD_LEN, fields[i].length);
			mnl_attr_nest_end(message, item);
		}
		mnl_attr_nest_end(message, list);
	}
	mnl_attr_nest_end(message, nest);
}

static uint32_t nft_set_flags(const struct nft_set *set)
{
	return (set->interval ? NFT_SET_INTERVAL : 0u) | (set->map ? NFT_SET_MAP : 0u) |
	       (set->timeout_ms ? NFT_SET_TIMEOUT | NFT_SET_EVAL : 0u) |
	       (set->interval && nft_key_is_concatenation(set->key) ? NFT_SET_CONCAT : 0u);
}

void nft_set_add(struct nft_batch *batch, const struct nft_set *set)
{
	/* Sets that rules fill may be empty. Any other would be, until the batch is done. */
	struct nlmsghdr *message = batch->over && !set->timeout_ms
				       ? NULL
				       : nft_batch_open(batch, NFT_MSG_NEWSET, nft_adding(batch), MESSAGE_ROOM);

	if (!message)
		return;
	mnl_attr_put_strz(message, NFTA_SET_TABLE, NFT_TABLE_NAME);
	mnl_attr_put_strz(message, NFTA_SET_NAME, set->name);
	nft_put_u32(message, NFTA_SET_FLAGS, nft_set_flags(set));
	nft_put_u32(message, NFTA_SET_KEY_TYPE, nft_key_type(set->key));
	nft_put_u32(message, NFTA_SET_KEY_LEN, nft_key_length(set->key));
	if (set->map) {
		nft_put_u32(message, NFTA_SET_DATA_TYPE, nft_key_type(NFT_KEY_ADDRESS | NFT_KEY_PORT));
		nft_put_u32(message, NFTA_SET_DATA_LEN, nft_key_length(NFT_KEY_ADDRESS | NFT_KEY_PORT));
	}
	nft_put_u32(message, NFTA_SET_ID, ++batch->set_ids);
	if (set->timeout_ms)
		nft_put_u64(message, NFTA_SET_TIMEOUT, set->timeout_ms);
	if (set->size || (set->interval && nft_key_is_concatenation(set->key)))
		nft_put_description(message, set);
	nft_put_userdata(message, set);
	nft_batch_close(batch);
}

void nft_set_delete(struct nft_batch *batch, const char *name)
{
	nft_put_named(batch, NFT_MSG_DELSET, NFTA_SET_TABLE, NFTA_SET_NAME, name);
}

/* ---- Elements ---- */

size_t nft_key_encode(unsigned key, const struct nft_element *element, uint32_t address,
		      uint8_t data[static NFT_KEY_MAX])
{
	size_t step = nft_key_is_concatenation(key) ? 4 : 0;
	uint8_t *at = data;

	memset(data, 0, NFT_KEY_MAX);
	if (key & NFT_KEY_LINK) {
		memcpy(at, &element->link, sizeof(element->link));
		at += step;
	}
	if (key & NFT_KEY_ADDRESS) {
		uint32_t value = htobe32(address);
		memcpy(at, &value, sizeof(value));
		at += step;
	}
	if (key & NFT_KEY_PROTO) {
		*at = element->proto;
		at += step;
	}
	if (key & NFT_KEY_PORT) {
		uint16_t value = htobe16(element->port);
		memcpy(at, &value, sizeof(value));
	}
	return nft_key_length(key);
}

bool nft_key_decode(unsigned key, const uint8_t *data, size_t size, struct nft_element *element, uint32_t *mark)
{
	size_t step = nft_key_is_concatenation(key) ? 4 : 0;
	uint32_t address;
	uint16_t port;

	if (size < nft_key_length(key))
		return false;
	if (key & NFT_KEY_LINK) {
		memcpy(&element->link, data, sizeof(element->link));
		data += step;
	}
	if (key & NFT_KEY_ADDRESS) {
		memcpy(&address, data, sizeof(address));
		element->first = element->last = be32toh(address);
		data += step;
	}
	if (key & NFT_KEY_PROTO) {
		element->proto = *data;
		data += step;
	}
	if (key & NFT_KEY_PORT) {
		memcpy(&port, data, sizeof(port));
		element->port = be16toh(port);
		data += step;
	}
	if (key & NFT_KEY_MARK && mark)
		memcpy(mark, data, sizeof(*mark));
	return true;
}

static void nft_put_data(struct nlmsghdr *message, uint16_t attr, const uint8_t *data, size_t length)
{
	struct nlattr *nest = mnl_attr_nest_start(message, attr);

	mnl_attr_put(message, NFTA_DATA_VALUE, length, data);
	mnl_attr_nest_end(message, nest);
}

static void nft_put_element(struct nlmsghdr *message, const struct nft_set *set, const struct nft_element *element,
			    uint32_t address, bool ends)
{
	uint8_t data[NFT_KEY_MAX];
	struct nlattr *item = mnl_attr_nest_start(message, NFTA_LIST_ELEM);
	size_t length = nft_key_encode(set->key, element, address, data);

	if (ends)
		nft_put_u32(message, NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
	nft_put_data(message, NFTA_SET_ELEM_KEY, data, length);
	if (set->interval && nft_key_is_concatenation(set->key)) {
		struct nft_element end = *element;
		if (end.port_last)
			end.port = end.port_last;
		nft_key_encode(set->key, &end, element->last, data);
		nft_put_data(message, NFTA_SET_ELEM_KEY_END, data, length);
	}
	if (set->map) {
		const struct nft_element to = { .port = element->to_port };
		length = nft_key_encode(NFT_KEY_ADDRESS | NFT_KEY_PORT, &to, element->to_address, data);
		nft_put_data(message, NFTA_SET_ELEM_DATA, data, length);
	}
	mnl_attr_nest_end(message, item);
}

/* Puts as many of ELEMENTS as one message holds. Returns their number; 0: no memory. */
static size_t nft_put_elements(struct nft_batch *batch, int type, const struct nft_set *set,
			       const struct nft_element *elements, size_t count)
{
	int flags = type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0;
	size_t room = count * 2 * ELEMENT_ROOM < ELEMENTS_BYTES ? count * 2 * ELEMENT_ROOM : ELEMENTS_BYTES;
	struct nlmsghdr *message = nft_batch_open(batch, type, flags, room + MESSAGE_ROOM);
	bool pairs = set->interval && !nft_key_is_concatenation(set->key);
	size_t done = 0;

	if (!message)
		return 0;
	mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_TABLE, NFT_TABLE_NAME);
	mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_SET, set->name);
	struct nlattr *list = mnl_attr_nest_start(message, NFTA_SET_ELEM_LIST_ELEMENTS);
	while (done < count && message->nlmsg_len + ELEMENT_ROOM * 2 <= room + MESSAGE_ROOM) {
		const struct nft_element *element = &elements[done++];
		nft_put_element(message, set, element, element->first, false);
		/* An interval of addresses is two elements: its start, and the address after its end. */
		if (pairs && element->last != UINT32_MAX)
			nft_put_element(message, set, element, element->last + 1, true);
	}
	mnl_attr_nest_end(message, list);
	nft_batch_close(batch);
	return done;
}

static void nft_put_all_elements(struct nft_batch *batch, int type, const struct nft_set *set,
				 const struct nft_element *elements, size_t count)
{
	size_t done;

	for (; count; elements += done, count -= done) {
		done = nft_put_elements(batch, type, set, elements, count);
		if (!done)
			return;
	}
}

void nft_elements_add(struct nft_batch *batch, const struct nft_set *set, const struct nft_element *elements,
		      size_t count)
{
	if (!batch->over)
		nft_put_all_elements(batch, NFT_MSG_NEWSETELEM, set, elements, count);
}

void nft_elements_delete(struct nft_batch *batch, const struct nft_set *set, const struct nft_element *elements,
			 size_t count)
{
	nft_put_all_elements(batch, NFT_MSG_DELSETELEM, set, elements, count);
}

static int nft_element_compare(const void *a, const void *b)
{
	const struct nft_element *left = a, *right = b;

	if (left->proto != right->proto)
		return left->proto < right->proto ? -1 : 1;
	if (left->port != right->port)
		return left->port < right->port ? -1 : 1;
	if (left->port_last != right->port_last)
		return left->port_last < right->port_last ? -1 : 1;
	if (left->first != right->first)
		return left->first < right->first ? -1 : 1;
	/* The wider of two first. */
	if (left->last != right->last)
		return left->last > right->last ? -1 : 1;
	return 0;
}

size_t nft_elements_merge(struct nft_element *elements, size_t count)
{
	size_t kept = 0;

	if (count)
		qsort(elements, count, sizeof(elements[0]), nft_element_compare);
	for (size_t i = 0; i < count; i++) {
		const struct nft_element *before = kept ? &elements[kept - 1] : NULL;
		if (!before || before->proto != elements[i].proto || before->port != elements[i].port ||
		    before->port_last != elements[i].port_last || before->last < elements[i].first)
			elements[kept++] = elements[i];
	}
	return kept;
}

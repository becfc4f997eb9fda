/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dumps of sets, decoded by the key that the caller knows the set to have.
 */
#include "nft/read.h"

#include "base/cleanup.h"
#include "base/err.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

struct element_reader {
	const struct nft_set *set;
	void (*each)(void *context, const struct nft_read_element *read);
	void *context;
};

/* The value within a data attribute. */
static const uint8_t *nft_read_data(const struct nlattr *data, size_t *size)
{
	const struct nlattr *value;

	nft_for_each_nested(value, data)
	{
		if (mnl_attr_get_type(value) != NFTA_DATA_VALUE)
			continue;
		*size = mnl_attr_get_payload_len(value);
		return mnl_attr_get_payload(value);
	}
	*size = 0;
	return NULL;
}

static void nft_read_take_element(const struct element_reader *reader, const struct nlattr *item)
{
	struct nft_read_element read = { 0 };
	const struct nlattr *attr;
	const uint8_t *data;
	size_t size;

	nft_for_each_nested(attr, item)
	{
		switch (mnl_attr_get_type(attr)) {
		case NFTA_SET_ELEM_KEY:
			data = nft_read_data(attr, &size);
			if (!data || !nft_key_decode(reader->set->key, data, size, &read.element, &read.mark))
				return;
			break;
		case NFTA_SET_ELEM_DATA: {
			struct nft_element to = { 0 };
			data = nft_read_data(attr, &size);
			if (!data || !nft_key_decode(NFT_KEY_ADDRESS | NFT_KEY_PORT, data, size, &to, NULL))
				return;
			read.element.to_address = to.first;
			read.element.to_port = to.port;
			break;
		}
		case NFTA_SET_ELEM_FLAGS:
			read.ends = be32toh(mnl_attr_get_u32(attr)) & NFT_SET_ELEM_INTERVAL_END;
			break;
		case NFTA_SET_ELEM_EXPIRATION:
			read.remaining_ms = be64toh(mnl_attr_get_u64(attr));
			break;
		}
	}
	reader->each(reader->context, &read);
}

static int nft_read_take_elements(const struct nlmsghdr *message, void *data)
{
	const struct nlattr *attr, *item;

	nft_for_each(attr, message)
	{
		if (mnl_attr_get_type(attr) != NFTA_SET_ELEM_LIST_ELEMENTS)
			continue;
		nft_for_each_nested(item, attr)
		{
			nft_read_take_element(data, item);
		}
	}
	return MNL_CB_OK;
}

int nft_read_elements(int netns_fd, uint8_t family, const struct nft_set *set,
		      void (*each)(void *context, const struct nft_read_element *read), void *context, struct err *err)
{
	struct element_reader reader = { set, each, context };
	char buffer[512] __attribute__((aligned(NLMSG_ALIGNTO)));
	AUTO_FD int fd = nft_socket(netns_fd, err);

	if (fd < 0)
		return -1;
	struct nlmsghdr *request = nft_request(buffer, NFT_MSG_GETSETELEM, family, NLM_F_DUMP);
	mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_TABLE, NFT_TABLE_NAME);
	mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_SET, set->name);
	if (nft_ask(fd, request, nft_read_take_elements, &reader, err) < 0)
		return err_wrap(err, "set %s", set->name);
	return 0;
}

static int nft_read_ignore(const struct nlmsghdr *message, void *data)
{
	(void)message;
	(void)data;
	return MNL_CB_OK;
}

bool nft_read_has_table(int fd, uint8_t family, struct err *err)
{
	char buffer[256] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nlmsghdr *request = nft_request(buffer, NFT_MSG_GETTABLE, family, 0);

	mnl_attr_put_strz(request, NFTA_TABLE_NAME, NFT_TABLE_NAME);
	return nft_ask(fd, request, nft_read_ignore, NULL, err) == 0;
}

struct nft_table_walk {
	void (*each)(void *context, uint8_t family, const char *name);
	void *context;
};

static int nft_read_table(const struct nlmsghdr *message, void *data)
{
	const struct nft_table_walk *walk = data;
	const struct nfgenmsg *body = mnl_nlmsg_get_payload(message);
	const struct nlattr *attr;

	nft_for_each(attr, message)
	{
		if (mnl_attr_get_type(attr) == NFTA_TABLE_NAME)
			walk->each(walk->context, body->nfgen_family, mnl_attr_get_str(attr));
	}
	return MNL_CB_OK;
}

int nft_read_tables(int netns_fd, void (*each)(void *context, uint8_t family, const char *name), void *context,
		    struct err *err)
{
	char buffer[64] __attribute__((aligned(NLMSG_ALIGNTO)));
	struct nft_table_walk walk = { each, context };
	AUTO_FD int fd = nft_socket(netns_fd, err);

	if (fd < 0)
		return -1;
	if (nft_ask(fd, nft_request(buffer, NFT_MSG_GETTABLE, AF_UNSPEC, NLM_F_DUMP), nft_read_table, &walk, err) < 0)
		return err_wrap(err, "tables");
	return 0;
}

/* ---- Counters ---- */

struct nft_counter_reader {
	void (*each)(void *context, const char *name, uint64_t packets, uint64_t bytes);
	void *context;
};

static uint64_t nft_read_counter_value(const struct nlattr *data, unsigned type)
{
	const struct nlattr *attr;

	nft_for_each_nested(attr, data)
	{
		if (mnl_attr_get_type(attr) == type)
			return be64toh(mnl_attr_get_u64(attr));
	}
	return 0;
}

static int nft_read_take_counter(const struct nlmsghdr *message, void *data)
{
	const struct nft_counter_reader *reader = data;
	const struct nlattr *attr, *value = NULL;
	const char *table = "", *name = "";

	nft_for_each(attr, message)
	{
		if (mnl_attr_get_type(attr) == NFTA_OBJ_TABLE)
			table = mnl_attr_get_str(attr);
		else if (mnl_attr_get_type(attr) == NFTA_OBJ_NAME)
			name = mnl_attr_get_str(attr);
		else if (mnl_attr_get_type(attr) == NFTA_OBJ_DATA)
			value = attr;
	}
	if (value && strcmp(table, NFT_TABLE_NAME) == 0)
		reader->each(reader->context, name, nft_read_counter_value(value, NFTA_COUNTER_PACKETS),
			     nft_read_counter_value(value, NFTA_COUNTER_BYTES));
	return MNL_CB_OK;
}

int nft_read_counters(int netns_fd, void (*each)(void *context, const char *name, uint64_t packets, uint64_t bytes),
		      void *context, struct err *err)
{
	struct nft_counter_reader reader = { each, context };
	char buffer[256] __attribute__((aligned(NLMSG_ALIGNTO)));
	AUTO_FD int fd = nft_socket(netns_fd, err);

	if (fd < 0)
		return -1;
	if (nft_ask(fd, nft_request(buffer, NFT_MSG_GETOBJ, AF_UNSPEC, NLM_F_DUMP), nft_read_take_counter, &reader,
		    err) < 0)
		return err_wrap(err, "counters");
	return 0;
}

static void nft_read_take_packets(void *context, const char *name, uint64_t packets, uint64_t bytes)
{
	uint64_t *wanted = context;

	(void)name;
	(void)bytes;
	*wanted = packets;
}

int nft_read_counter(int netns_fd, uint8_t family, const char *name, uint64_t *packets, struct err *err)
{
	struct nft_counter_reader reader = { nft_read_take_packets, packets };
	char buffer[256] __attribute__((aligned(NLMSG_ALIGNTO)));
	AUTO_FD int fd = nft_socket(netns_fd, err);

	if (fd < 0)
		return -1;
	struct nlmsghdr *request = nft_request(buffer, NFT_MSG_GETOBJ, family, 0);
	mnl_attr_put_strz(request, NFTA_OBJ_TABLE, NFT_TABLE_NAME);
	mnl_attr_put_strz(request, NFTA_OBJ_NAME, name);
	mnl_attr_put_u32(request, NFTA_OBJ_TYPE, htobe32(NFT_OBJECT_COUNTER));
	if (nft_ask(fd, request, nft_read_take_counter, &reader, err) < 0)
		return err_wrap(err, "counter %s", name);
	return 0;
}

/* ---- One element ---- */

struct nft_found {
	const struct nft_set *set;
	struct nft_range range;
};

/* EXPRESSION belongs to an element of a set that counts. */
static uint64_t nft_read_packets(const struct nlattr *expression)
{
	const struct nlattr *attr;

	nft_for_each_nested(attr, expression)
	{
		if (mnl_attr_get_type(attr) == NFTA_EXPR_DATA)
			return nft_read_counter_value(attr, NFTA_COUNTER_PACKETS);
	}
	return 0;
}

static void nft_read_take_range(const struct nlattr *item, struct nft_found *found)
{
	struct nft_element element = { 0 };
	const struct nlattr *attr;
	const uint8_t *data;
	size_t size;

	nft_for_each_nested(attr, item)
	{
		bool start = mnl_attr_get_type(attr) == NFTA_SET_ELEM_KEY;
		if (mnl_attr_get_type(attr) == NFTA_SET_ELEM_EXPR)
			found->range.packets = nft_read_packets(attr);
		if (!start && mnl_attr_get_type(attr) != NFTA_SET_ELEM_KEY_END)
			continue;
		data = nft_read_data(attr, &size);
		if (!data || !nft_key_decode(found->set->key, data, size, &element, NULL))
			continue;
		found->range.last = element.first;
		if (start)
			found->range.first = element.first;
	}
}

static int nft_read_take_found(const struct nlmsghdr *message, void *data)
{
	const struct nlattr *attr, *item;

	nft_for_each(attr, message)
	{
		if (mnl_attr_get_type(attr) != NFTA_SET_ELEM_LIST_ELEMENTS)
			continue;
		nft_for_each_nested(item, attr)
		{
			nft_read_take_range(item, data);
		}
	}
	return MNL_CB_OK;
}

/* FLAGS: NFT_SET_ELEM_INTERVAL_END asks for the end of the interval that holds WANTED. */
static int nft_read_find_element(int fd, uint8_t family, const struct nft_element *wanted, uint32_t flags,
				 struct nft_found *found, struct err *err)
{
	char buffer[512] __attribute__((aligned(NLMSG_ALIGNTO)));
	uint8_t key[NFT_KEY_MAX];
	size_t length = nft_key_encode(found->set->key, wanted, wanted->first, key);
	struct nlmsghdr *request = nft_request(buffer, NFT_MSG_GETSETELEM, family, 0);

	mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_TABLE, NFT_TABLE_NAME);
	mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_SET, found->set->name);
	struct nlattr *list = mnl_attr_nest_start(request, NFTA_SET_ELEM_LIST_ELEMENTS);
	struct nlattr *item = mnl_attr_nest_start(request, NFTA_LIST_ELEM);
	if (flags)
		mnl_attr_put_u32(request, NFTA_SET_ELEM_FLAGS, htobe32(flags));
	struct nlattr *nest = mnl_attr_nest_start(request, NFTA_SET_ELEM_KEY);
	mnl_attr_put(request, NFTA_DATA_VALUE, length, key);
	mnl_attr_nest_end(request, nest);
	mnl_attr_nest_end(request, item);
	mnl_attr_nest_end(request, list);
	if (nft_ask(fd, request, nft_read_take_found, found, err) == 0)
		return 1;
	return err->code == ENOENT ? 0 : err_wrap(err, "set %s", found->set->name);
}

int nft_read_find(int fd, uint8_t family, const struct nft_set *set, const struct nft_element *wanted,
		  struct nft_range *range, struct err *err)
{
	struct nft_found start = { .set = set }, over = { .set = set };
	int status = nft_read_find_element(fd, family, wanted, 0, &start, err);

	if (status <= 0)
		return status;
	*range = start.range;
	/* Of an interval of plain addresses the kernel has returned the start. */
	if (!set->interval || set->key != NFT_KEY_ADDRESS)
		return 1;
	status = nft_read_find_element(fd, family, wanted, NFT_SET_ELEM_INTERVAL_END, &over, err);
	range->last = status > 0 ? over.range.first - 1 : UINT32_MAX;
	return status < 0 ? -1 : 1;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a batch asks for and what the kernel dumps are messages of the same kinds, so both are written down by the same code, a
 * line for each chain, rule, set, element and counter, and the two lists must be equal. Nothing is kept in memory or in
 * the kernel to compare with, so nothing can be out of date, and an altered expression shows as surely as a missing table.
 */
#include "fabric/nft_check.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"

#include <endian.h>
#include <errno.h>
#include <libnftnl/chain.h>
#include <libnftnl/object.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	LINE_SIZE = 4096,
	ATTEMPTS = 16, /* at a dump that changed under us */
};

struct lines {
	char **items;
	size_t count, room;
	const char *const *filled;
	bool families[256]; /* those compared */
	bool broken;        /* no memory */
};

static void lines_clear(struct lines *lines)
{
	for (size_t i = 0; i < lines->count; i++)
		free(lines->items[i]);
	free(lines->items);
	lines->items = NULL;
	lines->count = lines->room = 0;
}

static void add_line(struct lines *lines, const char *text)
{
	if (lines->count == lines->room) {
		size_t room = lines->room ? 2 * lines->room : 128;
		char **items = reallocarray(lines->items, room, sizeof(*items));
		if (!items) {
			lines->broken = true;
			return;
		}
		lines->items = items;
		lines->room = room;
	}
	char *copy = strdup(text);
	if (!copy) {
		lines->broken = true;
		return;
	}
	lines->items[lines->count++] = copy;
}

static bool is_filled(const struct lines *lines, const char *name)
{
	for (const char *const *filled = lines->filled; filled && *filled; filled++)
		if (strcmp(*filled, name) == 0)
			return true;
	return false;
}

static bool is_ours(const char *table)
{
	return table && strcmp(table, NFT_TABLE_NAME) == 0;
}

static unsigned family_of(const struct nlmsghdr *message)
{
	const struct nfgenmsg *generic = mnl_nlmsg_get_payload(message);

	return generic->nfgen_family;
}

/* ---- One message, one line (or one for each element) ---- */

static void write_table(struct lines *lines, const struct nlmsghdr *message)
{
	struct nftnl_table *table = nftnl_table_alloc();
	char line[LINE_SIZE];

	if (table && nftnl_table_nlmsg_parse(message, table) == 0 &&
	    is_ours(nftnl_table_get_str(table, NFTNL_TABLE_NAME))) {
		snprintf(line, sizeof(line), "%u table flags %u", family_of(message),
			 nftnl_table_get_u32(table, NFTNL_TABLE_FLAGS));
		add_line(lines, line);
	}
	nftnl_table_free(table);
}

static void write_chain(struct lines *lines, const struct nlmsghdr *message)
{
	struct nftnl_chain *chain = nftnl_chain_alloc();
	char line[LINE_SIZE];

	if (chain && nftnl_chain_nlmsg_parse(message, chain) == 0 &&
	    is_ours(nftnl_chain_get_str(chain, NFTNL_CHAIN_TABLE)) &&
	    !is_filled(lines, nftnl_chain_get_str(chain, NFTNL_CHAIN_NAME))) {
		const char *type = nftnl_chain_get_str(chain, NFTNL_CHAIN_TYPE);
		const char *device = nftnl_chain_get_str(chain, NFTNL_CHAIN_DEV);
		const char *name = nftnl_chain_get_str(chain, NFTNL_CHAIN_NAME);
		if (type)
			snprintf(line, sizeof(line), "%u chain %s %s hook %u priority %d policy %u device %s",
				 family_of(message), name, type, nftnl_chain_get_u32(chain, NFTNL_CHAIN_HOOKNUM),
				 nftnl_chain_get_s32(chain, NFTNL_CHAIN_PRIO),
				 nftnl_chain_get_u32(chain, NFTNL_CHAIN_POLICY), device ? device : "-");
		else
			snprintf(line, sizeof(line), "%u chain %s", family_of(message), name);
		add_line(lines, line);
	}
	nftnl_chain_free(chain);
}

/*
 * nft 1.0.6 turns the byte order of one-byte fields in sets of intervals, in units of two bytes: nothing is done. Such an expression
 * makes no difference between rules.
 */
static void cut_idle_expression(char *line)
{
	static const char start_of[] = "  [ byteorder", end_of[] = ", 2, 1) ]\n";
	char *end = strstr(line, end_of), *start = end;

	while (start && start > line && strncmp(start, start_of, sizeof(start_of) - 1) != 0)
		start--;
	if (!start || strcspn(start, "\n") != (size_t)(end - start) + sizeof(end_of) - 2)
		return;
	end += sizeof(end_of) - 1;
	memmove(start, end, strlen(end) + 1);
}

static void write_rule(struct lines *lines, const struct nlmsghdr *message)
{
	struct nftnl_rule *rule = nftnl_rule_alloc();
	char line[LINE_SIZE];
	unsigned place = 0;

	if (rule && nftnl_rule_nlmsg_parse(message, rule) == 0 && is_ours(nftnl_rule_get_str(rule, NFTNL_RULE_TABLE)) &&
	    !is_filled(lines, nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN))) {
		/* Rules of a chain come in their order, so the place of each is how many came before. */
		int used = snprintf(line, sizeof(line), "%u rule %s ", family_of(message),
				    nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN));
		for (size_t i = 0; i < lines->count; i++)
			place += strncmp(lines->items[i], line, (size_t)used) == 0;
		used += snprintf(line + used, sizeof(line) - (size_t)used, "%u ", place);

		nftnl_rule_unset(rule, NFTNL_RULE_HANDLE);
		nftnl_rule_unset(rule, NFTNL_RULE_POSITION);
		nftnl_rule_unset(rule, NFTNL_RULE_USERDATA);
		nftnl_rule_snprintf(line + used, sizeof(line) - (size_t)used, rule, NFTNL_OUTPUT_DEFAULT, 0);
		cut_idle_expression(line + used);
		add_line(lines, line);
	}
	nftnl_rule_free(rule);
}

static void write_set(struct lines *lines, const struct nlmsghdr *message)
{
	struct nftnl_set *set = nftnl_set_alloc();
	char line[LINE_SIZE];

	if (set && nftnl_set_nlmsg_parse(message, set) == 0 && is_ours(nftnl_set_get_str(set, NFTNL_SET_TABLE))) {
		snprintf(line, sizeof(line), "%u set %s flags %u key %u %u data %u %u timeout %llu size %u",
			 family_of(message), nftnl_set_get_str(set, NFTNL_SET_NAME),
			 nftnl_set_get_u32(set, NFTNL_SET_FLAGS), nftnl_set_get_u32(set, NFTNL_SET_KEY_TYPE),
			 nftnl_set_get_u32(set, NFTNL_SET_KEY_LEN), nftnl_set_get_u32(set, NFTNL_SET_DATA_TYPE),
			 nftnl_set_get_u32(set, NFTNL_SET_DATA_LEN),
			 (unsigned long long)nftnl_set_get_u64(set, NFTNL_SET_TIMEOUT),
			 nftnl_set_get_u32(set, NFTNL_SET_DESC_SIZE));
		add_line(lines, line);
	}
	nftnl_set_free(set);
}

static void write_object(struct lines *lines, const struct nlmsghdr *message)
{
	struct nftnl_obj *object = nftnl_obj_alloc();
	char line[LINE_SIZE];

	if (object && nftnl_obj_nlmsg_parse(message, object) == 0 &&
	    is_ours(nftnl_obj_get_str(object, NFTNL_OBJ_TABLE))) {
		snprintf(line, sizeof(line), "%u object %u %s", family_of(message),
			 nftnl_obj_get_u32(object, NFTNL_OBJ_TYPE), nftnl_obj_get_str(object, NFTNL_OBJ_NAME));
		add_line(lines, line);
	}
	nftnl_obj_free(object);
}

static size_t write_bytes(char *line, size_t size, size_t used, const char *label, const struct nlattr *data)
{
	const struct nlattr *value;

	nft_for_each_nested(value, data)
	{
		const uint8_t *bytes = mnl_attr_get_payload(value);
		if (mnl_attr_get_type(value) != NFTA_DATA_VALUE)
			continue;
		used += (size_t)snprintf(line + used, size - used, " %s ", label);
		for (size_t i = 0; i < mnl_attr_get_payload_len(value) && i < 64; i++)
			used += (size_t)snprintf(line + used, size - used, "%02x", bytes[i]);
	}
	return used;
}

static void write_element(struct lines *lines, unsigned family, const char *set, const struct nlattr *item)
{
	char line[LINE_SIZE];
	size_t used = (size_t)snprintf(line, sizeof(line), "%u element %s", family, set);
	const struct nlattr *parts[NFTA_SET_ELEM_MAX + 1] = { NULL }, *attr;

	nft_for_each_nested(attr, item)
	{
		if (mnl_attr_get_type(attr) <= NFTA_SET_ELEM_MAX)
			parts[mnl_attr_get_type(attr)] = attr;
	}
	if (parts[NFTA_SET_ELEM_KEY])
		used = write_bytes(line, sizeof(line), used, "key", parts[NFTA_SET_ELEM_KEY]);
	if (parts[NFTA_SET_ELEM_KEY_END])
		used = write_bytes(line, sizeof(line), used, "to", parts[NFTA_SET_ELEM_KEY_END]);
	if (parts[NFTA_SET_ELEM_DATA])
		used = write_bytes(line, sizeof(line), used, "data", parts[NFTA_SET_ELEM_DATA]);
	if (parts[NFTA_SET_ELEM_FLAGS])
		snprintf(line + used, sizeof(line) - used, " flags %u",
			 be32toh(mnl_attr_get_u32(parts[NFTA_SET_ELEM_FLAGS])));
	/* nft(8) begins each set of intervals with an end at 0.0.0.0, which means nothing. */
	if (!strstr(line, " key 00000000 flags 1"))
		add_line(lines, line);
}

static void write_elements(struct lines *lines, const struct nlmsghdr *message)
{
	const char *table = NULL, *set = NULL;
	const struct nlattr *attr, *item, *list = NULL;

	nft_for_each(attr, message)
	{
		if (mnl_attr_get_type(attr) == NFTA_SET_ELEM_LIST_TABLE)
			table = mnl_attr_get_str(attr);
		else if (mnl_attr_get_type(attr) == NFTA_SET_ELEM_LIST_SET)
			set = mnl_attr_get_str(attr);
		else if (mnl_attr_get_type(attr) == NFTA_SET_ELEM_LIST_ELEMENTS)
			list = attr;
	}
	if (!is_ours(table) || !set || !list || is_filled(lines, set))
		return;
	nft_for_each_nested(item, list)
	{
		write_element(lines, family_of(message), set, item);
	}
}

static int write_message(const struct nlmsghdr *message, void *data)
{
	struct lines *lines = data;

	if (!lines->families[family_of(message)])
		return MNL_CB_OK;
	switch (NFNL_MSG_TYPE(message->nlmsg_type)) {
	case NFT_MSG_NEWTABLE:
		write_table(lines, message);
		break;
	case NFT_MSG_NEWCHAIN:
		write_chain(lines, message);
		break;
	case NFT_MSG_NEWRULE:
		write_rule(lines, message);
		break;
	case NFT_MSG_NEWSET:
		write_set(lines, message);
		break;
	case NFT_MSG_NEWSETELEM:
		write_elements(lines, message);
		break;
	case NFT_MSG_NEWOBJ:
		write_object(lines, message);
		break;
	}
	return MNL_CB_OK;
}

/* ---- Dumping ---- */

static int dump_all(int fd, int what, struct lines *lines, struct err *err)
{
	char buffer[256] __attribute__((aligned(NLMSG_ALIGNTO)));

	return nft_ask(fd, nft_request(buffer, what, AF_UNSPEC, NLM_F_DUMP), write_message, lines, err);
}

/* LINE: one that write_set() wrote. A set that went meanwhile is a difference like any other. */
static int dump_elements(int fd, const char *line, struct lines *lines, struct err *err)
{
	char buffer[512] __attribute__((aligned(NLMSG_ALIGNTO))), name[NFT_SET_MAXNAMELEN];
	unsigned family;

	if (sscanf(line, "%u set %255s ", &family, name) != 2 || is_filled(lines, name))
		return 0;
	struct nlmsghdr *request = nft_request(buffer, NFT_MSG_GETSETELEM, (uint8_t)family, NLM_F_DUMP);
	mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_TABLE, NFT_TABLE_NAME);
	mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_SET, name);
	return nft_ask(fd, request, write_message, lines, err) < 0 && err->code != ENOENT ? -1 : 0;
}

static int dump_tables(int netns_fd, struct lines *lines, struct err *err)
{
	static const int kinds[] = { NFT_MSG_GETTABLE, NFT_MSG_GETCHAIN, NFT_MSG_GETRULE, NFT_MSG_GETOBJ,
				     NFT_MSG_GETSET };
	AUTO_FD int fd = nft_socket(netns_fd, err);

	if (fd < 0)
		return -1;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (dump_all(fd, kinds[i], lines, err) < 0)
			return -1;
	size_t count = lines->count;
	for (size_t i = 0; i < count; i++)
		if (dump_elements(fd, lines->items[i], lines, err) < 0)
			return -1;
	return 0;
}

static int dump_whole(int netns_fd, struct lines *lines, struct err *err)
{
	for (unsigned i = 0; i < ATTEMPTS; i++) {
		lines_clear(lines);
		if (dump_tables(netns_fd, lines, err) == 0)
			return 0;
		if (err->code != EINTR)
			return -1;
	}
	return err_set(err, EAGAIN, "nftables: the tables change all the time");
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_lines(struct lines *lines)
{
	if (lines->count)
		qsort(lines->items, lines->count, sizeof(lines->items[0]), compare_lines);
}

/* Both are sorted. The first difference goes to the log of who wants to know. */
static bool same_lines(const struct lines *should, const struct lines *is)
{
	for (size_t i = 0; i < should->count || i < is->count; i++) {
		const char *wanted = i < should->count ? should->items[i] : NULL;
		const char *found = i < is->count ? is->items[i] : NULL;
		if (wanted && found && strcmp(wanted, found) == 0)
			continue;
		log_debug("nftables differ", F_STR("wanted", wanted), F_STR("found", found));
		return false;
	}
	return true;
}

int nft_check(int netns_fd, const struct nft_batch *wanted, const char *const *filled, bool *intact, struct err *err)
{
	struct lines should = { .filled = filled }, is = { .filled = filled };
	const struct nlmsghdr *message = NULL;
	int status = 0;

	while (!wanted->broken && (message = nft_batch_next(wanted, message))) {
		should.families[family_of(message)] = is.families[family_of(message)] = true;
		write_message(message, &should);
	}
	status = dump_whole(netns_fd, &is, err);
	if (status == 0 && (wanted->broken || should.broken || is.broken))
		status = err_set(err, ENOMEM, "nftables: comparing");
	if (status == 0) {
		sort_lines(&should);
		sort_lines(&is);
		*intact = same_lines(&should, &is);
	}
	lines_clear(&should);
	lines_clear(&is);
	return status;
}

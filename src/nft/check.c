/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A batch and a dump are messages of the same kinds. The messages of the batch are listed as wanted. Each message of a dump is
 * then compared with the wanted one of the same kind and name, or of the same place in its chain, while it lies in the receive
 * buffer; nothing of it is kept. A wanted message that no dump had is missing. Elements alone come in great number and in an
 * order of their own, so both sides are collected, sorted and compared.
 *
 * A difference does not end a dump: if the dump was interrupted, the difference may never have existed, and the check starts
 * over.
 */
#include "nft/check.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "base/vec.h"
#include "nft/equal.h"

#include <endian.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <string.h>

enum {
	NFT_CHECK_KEY = 16,     /* bytes of a key, and of a map's value; ours are no longer */
	NFT_CHECK_NAMELESS = 0, /* no attribute has this type */
};

/* One message of the batch. */
struct nft_wanted {
	const struct nlmsghdr *message;
	const char *name; /* a rule's is its chain's */
	uint8_t family;
	int kind; /* NFT_MSG_NEW* */
	bool found;
	/* A chain's first rule, and its next one to be found; a rule's successor in its chain. -1: none. */
	ssize_t rule, due;
};

struct nft_wanted_list {
	VEC_OF(struct nft_wanted);
};

/* Elements are compared byte by byte, so the struct has no padding. */
struct nft_check_element {
	uint32_t set; /* its place in the list of wanted messages */
	uint32_t flags;
	uint32_t key_length, end_length, data_length;
	uint8_t key[NFT_CHECK_KEY], end[NFT_CHECK_KEY], data[NFT_CHECK_KEY];
};

struct nft_element_list {
	VEC_OF(struct nft_check_element);
};

struct nft_check {
	const char *const *filled;
	bool contents; /* only sets are compared, but not those that are filled */
	struct nft_wanted_list wanted;
	struct nft_element_list elements, found_elements;
	size_t last;        /* the wanted message that was found last; the next is near it */
	bool families[256]; /* those compared */
	bool differs, broken;
};

/* ---- Messages ---- */

struct nft_check_head {
	uint8_t family;
	const char *table, *name; /* "": none */
};

/* The attribute that holds a message's name. The table's name comes first in all messages. */
static unsigned nft_check_name_type(int kind)
{
	switch (kind) {
	case NFT_MSG_NEWTABLE:
		return NFTA_TABLE_NAME;
	case NFT_MSG_NEWCHAIN:
		return NFTA_CHAIN_NAME;
	case NFT_MSG_NEWRULE:
		return NFTA_RULE_CHAIN;
	case NFT_MSG_NEWSET:
		return NFTA_SET_NAME;
	case NFT_MSG_NEWSETELEM:
		return NFTA_SET_ELEM_LIST_SET;
	case NFT_MSG_NEWOBJ:
		return NFTA_OBJ_NAME;
	}
	return NFT_CHECK_NAMELESS;
}

static struct nft_check_head nft_check_read_head(const struct nlmsghdr *message)
{
	const struct nfgenmsg *generic = mnl_nlmsg_get_payload(message);
	unsigned name_type = nft_check_name_type(NFNL_MSG_TYPE(message->nlmsg_type));
	struct nft_check_head head = { generic->nfgen_family, "", "" };
	const struct nlattr *attr;

	nft_for_each(attr, message)
	{
		if (mnl_attr_get_type(attr) == NFTA_TABLE_NAME)
			head.table = mnl_attr_get_str(attr);
		if (mnl_attr_get_type(attr) == name_type)
			head.name = mnl_attr_get_str(attr);
		if (head.table[0] && head.name[0])
			break;
	}
	return head;
}

static bool nft_check_is_filled(const struct nft_check *check, const char *name)
{
	for (const char *const *filled = check->filled; filled && *filled; filled++)
		if (strcmp(*filled, name) == 0)
			return true;
	return false;
}

/* Whether a thing of this KIND and NAME is compared at all. */
static bool nft_check_skips(const struct nft_check *check, int kind, const char *name)
{
	if (check->contents && kind != NFT_MSG_NEWSET && kind != NFT_MSG_NEWSETELEM)
		return true;
	return (check->contents || kind == NFT_MSG_NEWCHAIN || kind == NFT_MSG_NEWRULE || kind == NFT_MSG_NEWSETELEM) &&
	       nft_check_is_filled(check, name);
}

static const char *nft_check_kind_name(int kind)
{
	switch (kind) {
	case NFT_MSG_NEWTABLE:
		return "table";
	case NFT_MSG_NEWCHAIN:
		return "chain";
	case NFT_MSG_NEWRULE:
		return "rule of chain";
	case NFT_MSG_NEWSET:
		return "set";
	case NFT_MSG_NEWSETELEM:
		return "element of set";
	case NFT_MSG_NEWOBJ:
		return "counter";
	}
	return "message";
}

/* Logs the first difference. WANTED, FOUND: which sides have the thing, both if it is altered. */
static void nft_check_differ(struct nft_check *check, bool wanted, bool found, int kind, const char *name)
{
	char text[128];

	if (!check->differs) {
		snprintf(text, sizeof(text), "%s %s", nft_check_kind_name(kind), name);
		log_debug("nftables differ", F_STR("wanted", wanted ? text : NULL),
			  F_STR("found", wanted && found ? "altered"
					 : found         ? text
							 : NULL));
	}
	check->differs = true;
}

/* ---- What is wanted ---- */

/* Returns the wanted message of this KIND and NAME, other than a rule; -1: none. The search starts at the last one found. */
static ssize_t nft_check_find(struct nft_check *check, uint8_t family, int kind, const char *name)
{
	for (size_t i = 0; i < check->wanted.count; i++) {
		size_t at = (check->last + i) % check->wanted.count;
		const struct nft_wanted *wanted = &check->wanted.items[at];

		if (wanted->kind != kind || wanted->family != family || strcmp(wanted->name, name) != 0)
			continue;
		check->last = at;
		return (ssize_t)at;
	}
	return -1;
}

static struct nft_wanted *nft_check_list(struct nft_check *check, const struct nlmsghdr *message,
					 const struct nft_check_head *head)
{
	struct nft_wanted *wanted = vec_push(&check->wanted);

	if (!wanted) {
		check->broken = true;
		return NULL;
	}
	*wanted = (struct nft_wanted){ .message = message,
				       .name = head->name,
				       .family = head->family,
				       .kind = NFNL_MSG_TYPE(message->nlmsg_type),
				       .rule = -1,
				       .due = -1 };
	return wanted;
}

/* A rule comes after its chain, and after the rules before it. */
static void nft_check_list_rule(struct nft_check *check, const struct nlmsghdr *message,
				const struct nft_check_head *head)
{
	ssize_t chain = nft_check_find(check, head->family, NFT_MSG_NEWCHAIN, head->name);

	if (!nft_check_list(check, message, head) || chain < 0)
		return;
	/* While messages are listed, `due` of a chain is its last rule. */
	struct nft_wanted *items = check->wanted.items;
	ssize_t rule = (ssize_t)check->wanted.count - 1, last = items[chain].due;
	if (last < 0)
		items[chain].rule = rule;
	else
		items[last].rule = rule;
	items[chain].due = rule;
}

static void nft_check_gather(struct nft_check *check, struct nft_element_list *list, const struct nlmsghdr *message,
			     const struct nft_check_head *head);

static void nft_check_want(struct nft_check *check, const struct nlmsghdr *message)
{
	struct nft_check_head head = nft_check_read_head(message);
	int kind = NFNL_MSG_TYPE(message->nlmsg_type);

	check->families[head.family] = true;
	if (nft_check_name_type(kind) == NFT_CHECK_NAMELESS || nft_check_skips(check, kind, head.name))
		return;
	if (kind == NFT_MSG_NEWRULE)
		nft_check_list_rule(check, message, &head);
	else if (kind == NFT_MSG_NEWSETELEM)
		nft_check_gather(check, &check->elements, message, &head);
	else
		nft_check_list(check, message, &head);
}

/* ---- Elements ---- */

/* Reads the value within the data attribute NEST. *LENGTH is its full length, which may exceed the part kept. */
static void nft_check_take_value(const struct nlattr *nest, uint8_t value[static NFT_CHECK_KEY], uint32_t *length)
{
	const struct nlattr *attr;

	nft_for_each_nested(attr, nest)
	{
		if (mnl_attr_get_type(attr) != NFTA_DATA_VALUE)
			continue;
		*length = mnl_attr_get_payload_len(attr);
		memcpy(value, mnl_attr_get_payload(attr), *length < NFT_CHECK_KEY ? *length : NFT_CHECK_KEY);
	}
}

static struct nft_check_element nft_check_read_element(const struct nlattr *item)
{
	struct nft_check_element element = { 0 };
	const struct nlattr *attr;

	nft_for_each_nested(attr, item)
	{
		switch (mnl_attr_get_type(attr)) {
		case NFTA_SET_ELEM_KEY:
			nft_check_take_value(attr, element.key, &element.key_length);
			break;
		case NFTA_SET_ELEM_KEY_END:
			nft_check_take_value(attr, element.end, &element.end_length);
			break;
		case NFTA_SET_ELEM_DATA:
			nft_check_take_value(attr, element.data, &element.data_length);
			break;
		case NFTA_SET_ELEM_FLAGS:
			element.flags = be32toh(mnl_attr_get_u32(attr));
			break;
		}
	}
	return element;
}

/* nft(8) begins each set of intervals with an end at 0.0.0.0, which has no meaning. */
static bool nft_check_is_idle(const struct nft_check_element *element)
{
	static const struct nft_check_element idle = { .flags = NFT_SET_ELEM_INTERVAL_END, .key_length = 4 };

	return memcmp(element, &idle, sizeof(idle)) == 0;
}

/* Adds the elements of MESSAGE to LIST. */
static void nft_check_gather(struct nft_check *check, struct nft_element_list *list, const struct nlmsghdr *message,
			     const struct nft_check_head *head)
{
	ssize_t set = nft_check_find(check, head->family, NFT_MSG_NEWSET, head->name);
	const struct nlattr *attr, *item;

	if (set < 0)
		return;
	nft_for_each(attr, message)
	{
		if (mnl_attr_get_type(attr) != NFTA_SET_ELEM_LIST_ELEMENTS)
			continue;
		nft_for_each_nested(item, attr)
		{
			struct nft_check_element element = nft_check_read_element(item), *added;

			if (nft_check_is_idle(&element))
				continue;
			added = vec_push(list);
			if (!added) {
				check->broken = true;
				return;
			}
			*added = element;
			added->set = (uint32_t)set;
		}
	}
}

static int nft_check_order_elements(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct nft_check_element));
}

static void nft_check_compare_elements(struct nft_check *check)
{
	struct nft_element_list *wanted = &check->elements, *found = &check->found_elements;
	size_t size = sizeof(struct nft_check_element);

	if (wanted->count)
		qsort(wanted->items, wanted->count, size, nft_check_order_elements);
	if (found->count)
		qsort(found->items, found->count, size, nft_check_order_elements);
	for (size_t i = 0; i < wanted->count || i < found->count; i++) {
		const struct nft_check_element *left = i < wanted->count ? &wanted->items[i] : NULL;
		const struct nft_check_element *right = i < found->count ? &found->items[i] : NULL;

		if (left && right && memcmp(left, right, size) == 0)
			continue;
		bool missing = left && (!right || nft_check_order_elements(left, right) < 0);
		nft_check_differ(check, missing, !missing, NFT_MSG_NEWSETELEM,
				 check->wanted.items[missing ? left->set : right->set].name);
		return;
	}
}

/* ---- What is found ---- */

/* Returns the wanted message that a found one corresponds to; NULL: the found one is too much. */
static struct nft_wanted *nft_check_expected(struct nft_check *check, int kind, const struct nft_check_head *head)
{
	bool is_rule = kind == NFT_MSG_NEWRULE;
	ssize_t at = nft_check_find(check, head->family, is_rule ? NFT_MSG_NEWCHAIN : kind, head->name);

	if (at < 0 || !is_rule)
		return at < 0 ? NULL : &check->wanted.items[at];
	/* Rules of a chain come in their order. */
	struct nft_wanted *chain = &check->wanted.items[at];
	if (chain->due < 0)
		return NULL;
	struct nft_wanted *rule = &check->wanted.items[chain->due];
	chain->due = rule->rule;
	return rule;
}

static int nft_check_take(const struct nlmsghdr *message, void *data)
{
	struct nft_check *check = data;
	struct nft_check_head head = nft_check_read_head(message);
	int kind = NFNL_MSG_TYPE(message->nlmsg_type);

	if (nft_check_name_type(kind) == NFT_CHECK_NAMELESS || !check->families[head.family] ||
	    strcmp(head.table, NFT_TABLE_NAME) != 0 || nft_check_skips(check, kind, head.name))
		return MNL_CB_OK;
	if (kind == NFT_MSG_NEWSETELEM) {
		nft_check_gather(check, &check->found_elements, message, &head);
		return MNL_CB_OK;
	}
	struct nft_wanted *wanted = nft_check_expected(check, kind, &head);
	if (!wanted) {
		nft_check_differ(check, false, true, kind, head.name);
		return MNL_CB_OK;
	}
	wanted->found = true;
	if (!nft_equal(wanted->message, message))
		nft_check_differ(check, true, true, kind, head.name);
	return MNL_CB_OK;
}

static void nft_check_compare(struct nft_check *check)
{
	for (size_t i = 0; i < check->wanted.count; i++)
		if (!check->wanted.items[i].found)
			nft_check_differ(check, true, false, check->wanted.items[i].kind, check->wanted.items[i].name);
	nft_check_compare_elements(check);
}

/* ---- Dumping ---- */

/* A set that is gone, or was never there, shows as a difference elsewhere. */
static int nft_check_dump_elements(struct nft_check *check, int fd, const struct nft_wanted *set, struct err *err)
{
	char buffer[512] __attribute__((aligned(NLMSG_ALIGNTO)));

	if (set->kind != NFT_MSG_NEWSET || nft_check_is_filled(check, set->name))
		return 0;
	struct nlmsghdr *request = nft_request(buffer, NFT_MSG_GETSETELEM, set->family, NLM_F_DUMP);
	mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_TABLE, NFT_TABLE_NAME);
	mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_SET, set->name);
	return nft_ask(fd, request, nft_check_take, check, err) < 0 && err->code != ENOENT ? -1 : 0;
}

static int nft_check_dump(struct nft_check *check, int netns_fd, struct err *err)
{
	static const int kinds[] = { NFT_MSG_GETTABLE, NFT_MSG_GETCHAIN, NFT_MSG_GETRULE, NFT_MSG_GETOBJ,
				     NFT_MSG_GETSET };
	char buffer[256] __attribute__((aligned(NLMSG_ALIGNTO)));
	AUTO_FD int fd = nft_socket(netns_fd, err);

	if (fd < 0)
		return -1;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (nft_ask(fd, nft_request(buffer, kinds[i], AF_UNSPEC, NLM_F_DUMP), nft_check_take, check, err) < 0)
			return -1;
	for (size_t i = 0; i < check->wanted.count; i++)
		if (nft_check_dump_elements(check, fd, &check->wanted.items[i], err) < 0)
			return -1;
	return 0;
}

/* Forgets everything found so far. */
static void nft_check_reset(struct nft_check *check)
{
	for (size_t i = 0; i < check->wanted.count; i++) {
		check->wanted.items[i].found = false;
		check->wanted.items[i].due = check->wanted.items[i].rule;
	}
	check->found_elements.count = 0;
	check->last = 0;
	check->differs = false;
}

static int nft_check_dump_whole(struct nft_check *check, int netns_fd, struct err *err)
{
	for (unsigned i = 0; i < NFT_ATTEMPTS; i++) {
		nft_check_reset(check);
		if (nft_check_dump(check, netns_fd, err) == 0)
			return 0;
		if (err->code != EINTR)
			return -1;
	}
	return err_set(err, EAGAIN, "nftables: the tables change all the time");
}

static int nft_check_run(struct nft_check *check, int netns_fd, const struct nft_batch *wanted, bool *intact,
			 struct err *err)
{
	const struct nlmsghdr *message = NULL;

	while (!wanted->broken && (message = nft_batch_next(wanted, message)))
		nft_check_want(check, message);
	int status = nft_check_dump_whole(check, netns_fd, err);
	if (status == 0 && (wanted->broken || check->broken))
		status = err_set(err, ENOMEM, "nftables: comparing");
	if (status == 0) {
		nft_check_compare(check);
		*intact = !check->differs;
	}
	vec_free(&check->wanted);
	vec_free(&check->elements);
	vec_free(&check->found_elements);
	return status;
}

int nft_check(int netns_fd, const struct nft_batch *wanted, const char *const *filled, bool *intact, struct err *err)
{
	struct nft_check check = { .filled = filled };

	return nft_check_run(&check, netns_fd, wanted, intact, err);
}

int nft_check_contents(int netns_fd, const struct nft_batch *wanted, const char *const *filled, bool *intact,
		       struct err *err)
{
	struct nft_check check = { .filled = filled, .contents = true };

	return nft_check_run(&check, netns_fd, wanted, intact, err);
}

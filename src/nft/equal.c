/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Of tables, chains, sets and counters a few fields matter, which libnftnl reads. A rule is compared as a tree of attributes,
 * since each attribute matters, whether or not a library knows it. A rule in a dump differs from the same rule in a batch in
 * two ways. The attributes of an expression come in the kernel's order, so they are matched by type. And one side may lack an
 * attribute whose value is 0: the kernel takes a missing one as 0, and leaves some out that are 0.
 *
 * A dump does not flag its nests; the batch does, so the batch's tree shows for both sides where to descend.
 */
#include "nft/equal.h"

#include <endian.h>
#include <libnftnl/chain.h>
#include <libnftnl/object.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <stddef.h>
#include <string.h>

/* ---- Trees ---- */

/* A walk through a nest. libmnl needs several calls for each attribute, which would take most of a check's time. */
struct nft_walk {
	const struct nlattr *at; /* NULL: at the end */
	const char *end;
};

static const struct nlattr *nft_equal_valid(const struct nft_walk *walk, const char *at)
{
	const struct nlattr *attr = (const struct nlattr *)at;

	if (walk->end - at < (ptrdiff_t)sizeof(*attr) || attr->nla_len < sizeof(*attr) ||
	    attr->nla_len > walk->end - at)
		return NULL;
	return attr;
}

/* NEST: NULL is an empty one. */
static struct nft_walk nft_equal_walk(const struct nlattr *nest)
{
	struct nft_walk walk = { NULL, nest ? (const char *)nest + nest->nla_len : NULL };

	if (nest)
		walk.at = nft_equal_valid(&walk, (const char *)nest + NLA_HDRLEN);
	return walk;
}

static void nft_equal_step(struct nft_walk *walk)
{
	if (walk->at)
		walk->at = nft_equal_valid(walk, (const char *)walk->at + NLA_ALIGN(walk->at->nla_len));
}

static unsigned nft_equal_type(const struct nlattr *attr)
{
	return attr->nla_type & NLA_TYPE_MASK;
}

static bool nft_equal_is_zero(const struct nlattr *attr)
{
	const uint8_t *bytes = (const uint8_t *)attr + NLA_HDRLEN;

	for (size_t i = 0; i + NLA_HDRLEN < attr->nla_len; i++)
		if (bytes[i])
			return false;
	return true;
}

/* The attribute of NEST in the same place as ATTR in its own nest OF: the n-th of its type. NULL: none. */
static const struct nlattr *nft_equal_counterpart(const struct nlattr *attr, const struct nlattr *of,
						  const struct nlattr *nest)
{
	struct nft_walk walk;
	unsigned before = 0;

	for (walk = nft_equal_walk(of); walk.at && walk.at != attr; nft_equal_step(&walk))
		before += nft_equal_type(walk.at) == nft_equal_type(attr);
	for (walk = nft_equal_walk(nest); walk.at; nft_equal_step(&walk))
		if (nft_equal_type(walk.at) == nft_equal_type(attr) && before-- == 0)
			break;
	return walk.at;
}

static bool nft_equal_nests(const struct nlattr *wanted, const struct nlattr *found);

static bool nft_equal_attributes(const struct nlattr *wanted, const struct nlattr *found)
{
	if (wanted->nla_type & NLA_F_NESTED)
		return nft_equal_nests(wanted, found);
	return wanted->nla_len == found->nla_len &&
	       memcmp((const char *)wanted + NLA_HDRLEN, (const char *)found + NLA_HDRLEN,
		      wanted->nla_len - (size_t)NLA_HDRLEN) == 0;
}

/* Compares all attributes of both nests, in any order. */
static bool nft_equal_by_type(const struct nlattr *wanted, const struct nlattr *found)
{
	struct nft_walk walk;

	for (walk = nft_equal_walk(wanted); walk.at; nft_equal_step(&walk)) {
		const struct nlattr *other = nft_equal_counterpart(walk.at, wanted, found);

		if (other ? !nft_equal_attributes(walk.at, other) : !nft_equal_is_zero(walk.at))
			return false;
	}
	for (walk = nft_equal_walk(found); walk.at; nft_equal_step(&walk))
		if (!nft_equal_counterpart(walk.at, found, wanted) && !nft_equal_is_zero(walk.at))
			return false;
	return true;
}

static bool nft_equal_nests(const struct nlattr *wanted, const struct nlattr *found)
{
	struct nft_walk left = nft_equal_walk(wanted), right = nft_equal_walk(found);

	/* Most nests have the same order on both sides. */
	while (left.at && right.at && nft_equal_type(left.at) == nft_equal_type(right.at)) {
		if (!nft_equal_attributes(left.at, right.at))
			return false;
		nft_equal_step(&left);
		nft_equal_step(&right);
	}
	return (!left.at && !right.at) || nft_equal_by_type(wanted, found);
}

/* ---- Rules ---- */

static const struct nlattr *nft_equal_find(const struct nlattr *nest, unsigned type)
{
	struct nft_walk walk = nft_equal_walk(nest);

	while (walk.at && nft_equal_type(walk.at) != type)
		nft_equal_step(&walk);
	return walk.at;
}

static bool nft_equal_has_number(const struct nlattr *nest, unsigned type, uint32_t number)
{
	const struct nlattr *attr = nft_equal_find(nest, type);

	return attr && mnl_attr_get_payload_len(attr) == sizeof(number) && be32toh(mnl_attr_get_u32(attr)) == number;
}

/*
 * For sets of intervals nft 1.0.6 adds a change of byte order to one-byte fields, in units of two bytes, which changes nothing.
 */
static bool nft_equal_is_idle(const struct nlattr *expression)
{
	const struct nlattr *name = expression ? nft_equal_find(expression, NFTA_EXPR_NAME) : NULL;
	const struct nlattr *data = expression ? nft_equal_find(expression, NFTA_EXPR_DATA) : NULL;

	return name && data && strcmp(mnl_attr_get_str(name), "byteorder") == 0 &&
	       nft_equal_has_number(data, NFTA_BYTEORDER_SIZE, 2) && nft_equal_has_number(data, NFTA_BYTEORDER_LEN, 1);
}

static const struct nlattr *nft_equal_expressions(const struct nlmsghdr *rule)
{
	const struct nlattr *attr;

	nft_for_each(attr, rule)
	{
		if (nft_equal_type(attr) == NFTA_RULE_EXPRESSIONS)
			return attr;
	}
	return NULL;
}

bool nft_equal_rules(const struct nlmsghdr *wanted, const struct nlmsghdr *found)
{
	struct nft_walk left = nft_equal_walk(nft_equal_expressions(wanted));
	struct nft_walk right = nft_equal_walk(nft_equal_expressions(found));

	while (left.at || right.at) {
		if (left.at && right.at && nft_equal_nests(left.at, right.at)) {
			nft_equal_step(&left);
			nft_equal_step(&right);
		} else if (nft_equal_is_idle(right.at)) {
			nft_equal_step(&right);
		} else if (nft_equal_is_idle(left.at)) {
			nft_equal_step(&left);
		} else {
			return false;
		}
	}
	return true;
}

/* ---- Others ---- */

static bool nft_equal_texts(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool nft_equal_tables(const struct nlmsghdr *wanted, const struct nlmsghdr *found)
{
	struct nftnl_table *a = nftnl_table_alloc(), *b = nftnl_table_alloc();
	bool equal = a && b && nftnl_table_nlmsg_parse(wanted, a) == 0 && nftnl_table_nlmsg_parse(found, b) == 0 &&
		     nftnl_table_get_u32(a, NFTNL_TABLE_FLAGS) == nftnl_table_get_u32(b, NFTNL_TABLE_FLAGS);

	if (a)
		nftnl_table_free(a);
	if (b)
		nftnl_table_free(b);
	return equal;
}

/* A chain without a type has no hook. */
static bool nft_equal_hooks(const struct nftnl_chain *a, const struct nftnl_chain *b)
{
	static const uint16_t numbers[] = { NFTNL_CHAIN_HOOKNUM, NFTNL_CHAIN_PRIO, NFTNL_CHAIN_POLICY };

	if (!nft_equal_texts(nftnl_chain_get_str(a, NFTNL_CHAIN_TYPE), nftnl_chain_get_str(b, NFTNL_CHAIN_TYPE)))
		return false;
	if (!nftnl_chain_is_set(a, NFTNL_CHAIN_TYPE))
		return true;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (nftnl_chain_get_u32(a, numbers[i]) != nftnl_chain_get_u32(b, numbers[i]))
			return false;
	return nft_equal_texts(nftnl_chain_get_str(a, NFTNL_CHAIN_DEV), nftnl_chain_get_str(b, NFTNL_CHAIN_DEV));
}

static bool nft_equal_chains(const struct nlmsghdr *wanted, const struct nlmsghdr *found)
{
	struct nftnl_chain *a = nftnl_chain_alloc(), *b = nftnl_chain_alloc();
	bool equal = a && b && nftnl_chain_nlmsg_parse(wanted, a) == 0 && nftnl_chain_nlmsg_parse(found, b) == 0 &&
		     nft_equal_hooks(a, b);

	if (a)
		nftnl_chain_free(a);
	if (b)
		nftnl_chain_free(b);
	return equal;
}

static bool nft_equal_shapes(const struct nftnl_set *a, const struct nftnl_set *b)
{
	static const uint16_t numbers[] = { NFTNL_SET_FLAGS,     NFTNL_SET_KEY_TYPE, NFTNL_SET_KEY_LEN,
					    NFTNL_SET_DATA_TYPE, NFTNL_SET_DATA_LEN, NFTNL_SET_DESC_SIZE };

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (nftnl_set_get_u32(a, numbers[i]) != nftnl_set_get_u32(b, numbers[i]))
			return false;
	return nftnl_set_get_u64(a, NFTNL_SET_TIMEOUT) == nftnl_set_get_u64(b, NFTNL_SET_TIMEOUT);
}

static bool nft_equal_sets(const struct nlmsghdr *wanted, const struct nlmsghdr *found)
{
	struct nftnl_set *a = nftnl_set_alloc(), *b = nftnl_set_alloc();
	bool equal = a && b && nftnl_set_nlmsg_parse(wanted, a) == 0 && nftnl_set_nlmsg_parse(found, b) == 0 &&
		     nft_equal_shapes(a, b);

	if (a)
		nftnl_set_free(a);
	if (b)
		nftnl_set_free(b);
	return equal;
}

static bool nft_equal_objects(const struct nlmsghdr *wanted, const struct nlmsghdr *found)
{
	struct nftnl_obj *a = nftnl_obj_alloc(), *b = nftnl_obj_alloc();
	bool equal = a && b && nftnl_obj_nlmsg_parse(wanted, a) == 0 && nftnl_obj_nlmsg_parse(found, b) == 0 &&
		     nftnl_obj_get_u32(a, NFTNL_OBJ_TYPE) == nftnl_obj_get_u32(b, NFTNL_OBJ_TYPE);

	if (a)
		nftnl_obj_free(a);
	if (b)
		nftnl_obj_free(b);
	return equal;
}

bool nft_equal(const struct nlmsghdr *wanted, const struct nlmsghdr *found)
{
	switch (NFNL_MSG_TYPE(wanted->nlmsg_type)) {
	case NFT_MSG_NEWTABLE:
		return nft_equal_tables(wanted, found);
	case NFT_MSG_NEWCHAIN:
		return nft_equal_chains(wanted, found);
	case NFT_MSG_NEWRULE:
		return nft_equal_rules(wanted, found);
	case NFT_MSG_NEWSET:
		return nft_equal_sets(wanted, found);
	case NFT_MSG_NEWOBJ:
		return nft_equal_objects(wanted, found);
	}
	return false;
}

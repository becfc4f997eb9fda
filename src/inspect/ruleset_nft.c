/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads nftables into the model. An nft rule is a small program: expressions load parts of the packet into registers, mask them
 * and compare them. Loads are kept by register, so that a comparison becomes one condition. Anything that has no place in the
 * model becomes an unknown condition.
 */
#include "inspect/ruleset.h"
#include "inspect/ruleset_set.h"

#include "base/err.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REGISTERS = 20, DUMP_TRIES = 5 };

/* The contents of a register: bytes of FIELD from OFFSET on, masked. */
struct loaded {
	enum ruleset_field field;
	uint8_t offset;
	uint8_t mask[16];
};

struct ruleset_reading {
	const char *table;
	uint32_t family;
	struct ruleset_rule *rule;
	struct loaded registers[REGISTERS];
	bool ended; /* there was a verdict */
	/* A lookup: the rule stands for one rule per element, with the element in the condition at WHERE. */
	struct ruleset_element elements[RULESET_ELEMENTS_MAX];
	size_t element_count, where;
	bool has_lookup, is_map;
};

/* Returns the first of the 4-byte registers of NUMBER, in either numbering. */
static struct loaded *inspect_ruleset_nft_register_at(struct ruleset_reading *reading, uint32_t number)
{
	uint32_t index = number >= NFT_REG32_00 ? number - NFT_REG32_00 : (number - 1) * 4;

	return &reading->registers[index < REGISTERS ? index : REGISTERS - 1];
}

static void inspect_ruleset_nft_load(struct ruleset_reading *reading, uint32_t number, enum ruleset_field field,
				     uint32_t offset)
{
	struct loaded *loaded = inspect_ruleset_nft_register_at(reading, number);

	*loaded = (struct loaded){ .field = field, .offset = (uint8_t)offset };
	memset(loaded->mask, 0xff, sizeof(loaded->mask));
}

static void inspect_ruleset_nft_add_unknown(struct ruleset_reading *reading)
{
	inspect_ruleset_add_match(reading->rule, &(struct ruleset_match){ .field = FIELD_UNKNOWN });
}

static enum ruleset_field inspect_ruleset_nft_meta_field(uint32_t key)
{
	static const struct {
		uint32_t key;
		enum ruleset_field field;
	} fields[] = {
		{ NFT_META_IIFNAME, FIELD_IIFNAME },   { NFT_META_OIFNAME, FIELD_OIFNAME },
		{ NFT_META_IIFGROUP, FIELD_IIFGROUP }, { NFT_META_OIFGROUP, FIELD_OIFGROUP },
		{ NFT_META_IIF, FIELD_IIF },           { NFT_META_OIF, FIELD_OIF },
		{ NFT_META_NFPROTO, FIELD_NFPROTO },   { NFT_META_L4PROTO, FIELD_L4PROTO },
		{ NFT_META_MARK, FIELD_MARK },
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (fields[i].key == key)
			return fields[i].field;
	return FIELD_UNKNOWN;
}

static void inspect_ruleset_nft_read_meta(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	/* With a source register it sets something, and is no condition. */
	if (nftnl_expr_is_set(expr, NFTNL_EXPR_META_DREG))
		inspect_ruleset_nft_load(reading, nftnl_expr_get_u32(expr, NFTNL_EXPR_META_DREG),
					 inspect_ruleset_nft_meta_field(nftnl_expr_get_u32(expr, NFTNL_EXPR_META_KEY)),
					 0);
}

static void inspect_ruleset_nft_read_payload(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	uint32_t base = nftnl_expr_get_u32(expr, NFTNL_EXPR_PAYLOAD_BASE);
	uint32_t offset = nftnl_expr_get_u32(expr, NFTNL_EXPR_PAYLOAD_OFFSET);
	uint32_t length = nftnl_expr_get_u32(expr, NFTNL_EXPR_PAYLOAD_LEN);
	uint32_t number = nftnl_expr_get_u32(expr, NFTNL_EXPR_PAYLOAD_DREG);

	if (!nftnl_expr_is_set(expr, NFTNL_EXPR_PAYLOAD_DREG))
		return;
	inspect_ruleset_nft_load(reading, number, FIELD_UNKNOWN, 0);
	/* Offsets in the header of IPv4, and of TCP. */
	if (base == NFT_PAYLOAD_NETWORK_HEADER && offset >= 12 && offset + length <= 16)
		inspect_ruleset_nft_load(reading, number, FIELD_SOURCE, offset - 12);
	else if (base == NFT_PAYLOAD_NETWORK_HEADER && offset >= 16 && offset + length <= 20)
		inspect_ruleset_nft_load(reading, number, FIELD_DESTINATION, offset - 16);
	else if (base == NFT_PAYLOAD_NETWORK_HEADER && offset == 9 && length == 1)
		inspect_ruleset_nft_load(reading, number, FIELD_L4PROTO, 0);
	else if (base == NFT_PAYLOAD_TRANSPORT_HEADER && offset == 2 && length == 2)
		inspect_ruleset_nft_load(reading, number, FIELD_PORT, 0);
}

static void inspect_ruleset_nft_read_ct(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	bool state = nftnl_expr_get_u32(expr, NFTNL_EXPR_CT_KEY) == NFT_CT_STATE;

	if (nftnl_expr_is_set(expr, NFTNL_EXPR_CT_DREG))
		inspect_ruleset_nft_load(reading, nftnl_expr_get_u32(expr, NFTNL_EXPR_CT_DREG),
					 state ? FIELD_CT_STATE : FIELD_UNKNOWN, 0);
}

static void inspect_ruleset_nft_read_fib(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	bool type = nftnl_expr_get_u32(expr, NFTNL_EXPR_FIB_RESULT) == NFT_FIB_RESULT_ADDRTYPE &&
		    nftnl_expr_get_u32(expr, NFTNL_EXPR_FIB_FLAGS) == NFTA_FIB_F_DADDR;

	inspect_ruleset_nft_load(reading, nftnl_expr_get_u32(expr, NFTNL_EXPR_FIB_DREG),
				 type ? FIELD_ADDRESS_TYPE : FIELD_UNKNOWN, 0);
}

static void inspect_ruleset_nft_read_bitwise(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	struct loaded *from =
	    inspect_ruleset_nft_register_at(reading, nftnl_expr_get_u32(expr, NFTNL_EXPR_BITWISE_SREG));
	struct loaded *to = inspect_ruleset_nft_register_at(reading, nftnl_expr_get_u32(expr, NFTNL_EXPR_BITWISE_DREG));
	uint32_t mask_length = 0, xor_length = 0;
	const uint8_t *mask = nftnl_expr_get(expr, NFTNL_EXPR_BITWISE_MASK, &mask_length);
	const uint8_t *flips = nftnl_expr_get(expr, NFTNL_EXPR_BITWISE_XOR, &xor_length);
	bool plain = mask && mask_length <= 16 && nftnl_expr_get_u32(expr, NFTNL_EXPR_BITWISE_OP) == NFT_BITWISE_BOOL;

	*to = *from;
	for (uint32_t i = 0; i < xor_length; i++)
		plain = plain && flips[i] == 0;
	for (uint32_t i = 0; plain && i < mask_length; i++)
		to->mask[i] &= mask[i];
	if (!plain)
		to->field = FIELD_UNKNOWN;
}

static void inspect_ruleset_nft_read_cmp(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	const struct loaded *loaded =
	    inspect_ruleset_nft_register_at(reading, nftnl_expr_get_u32(expr, NFTNL_EXPR_CMP_SREG));
	uint32_t op = nftnl_expr_get_u32(expr, NFTNL_EXPR_CMP_OP);
	uint32_t length = 0;
	const void *value = nftnl_expr_get(expr, NFTNL_EXPR_CMP_DATA, &length);
	struct ruleset_match match = { .field = loaded->field,
				       .offset = loaded->offset,
				       .differs = op == NFT_CMP_NEQ,
				       .length = (uint8_t)length };

	if (!value || length > sizeof(match.value) || (op != NFT_CMP_EQ && op != NFT_CMP_NEQ)) {
		inspect_ruleset_nft_add_unknown(reading);
		return;
	}
	memcpy(match.value, value, length);
	memcpy(match.mask, loaded->mask, sizeof(match.mask));
	inspect_ruleset_add_match(reading->rule, &match);
}

static void inspect_ruleset_nft_set_verdict(struct ruleset_reading *reading, enum ruleset_verdict verdict,
					    const char *word)
{
	reading->rule->verdict = verdict;
	snprintf(reading->rule->word, sizeof(reading->rule->word), "%s", word);
	reading->ended = true;
}

static void inspect_ruleset_nft_read_immediate(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	uint32_t number = nftnl_expr_get_u32(expr, NFTNL_EXPR_IMM_DREG);
	const char *chain = nftnl_expr_get_str(expr, NFTNL_EXPR_IMM_CHAIN);

	if (number != NFT_REG_VERDICT) {
		inspect_ruleset_nft_load(reading, number, FIELD_UNKNOWN, 0);
		return;
	}
	enum ruleset_verdict verdict =
	    inspect_ruleset_verdict_of((int)nftnl_expr_get_u32(expr, NFTNL_EXPR_IMM_VERDICT));
	if (verdict != VERDICT_NONE)
		inspect_ruleset_nft_set_verdict(reading, verdict, "");
	snprintf(reading->rule->target, sizeof(reading->rule->target), "%.63s", chain ? chain : "");
}

static void inspect_ruleset_nft_read_nat(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	if (nftnl_expr_get_u32(expr, NFTNL_EXPR_NAT_TYPE) == NFT_NAT_DNAT)
		inspect_ruleset_nft_set_verdict(reading, VERDICT_REDIRECT, "dnat");
	else
		inspect_ruleset_nft_set_verdict(reading, VERDICT_ACCEPT, "snat");
}

/*
 * A set of a few plain elements stands for as many rules. Any other (intervals, concatenations, long ones, a second set in the
 * rule) makes an unknown condition.
 */
static void inspect_ruleset_nft_read_lookup(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	const struct loaded *loaded =
	    inspect_ruleset_nft_register_at(reading, nftnl_expr_get_u32(expr, NFTNL_EXPR_LOOKUP_SREG));
	bool has_result = nftnl_expr_is_set(expr, NFTNL_EXPR_LOOKUP_DREG);
	bool is_map = has_result && nftnl_expr_get_u32(expr, NFTNL_EXPR_LOOKUP_DREG) == NFT_REG_VERDICT;
	bool inverted = nftnl_expr_get_u32(expr, NFTNL_EXPR_LOOKUP_FLAGS) & NFT_LOOKUP_F_INV;
	bool few =
	    !reading->has_lookup && !inverted && loaded->field != FIELD_UNKNOWN && (is_map || !has_result) &&
	    reading->rule->match_count < RULESET_MATCHES_MAX &&
	    inspect_ruleset_read_set(reading->family, reading->table, nftnl_expr_get_str(expr, NFTNL_EXPR_LOOKUP_SET),
				     reading->elements, &reading->element_count);
	struct ruleset_match match = { .field = few ? loaded->field : FIELD_UNKNOWN, .offset = loaded->offset };

	memcpy(match.mask, loaded->mask, sizeof(match.mask));
	if (few) {
		reading->has_lookup = true;
		reading->is_map = is_map;
		reading->where = reading->rule->match_count;
	}
	inspect_ruleset_add_match(reading->rule, &match);
	if (is_map)
		inspect_ruleset_nft_set_verdict(reading, VERDICT_UNKNOWN, "vmap");
}

/* Puts ELEMENT into RULE's condition, and of a map into its verdict. */
static void inspect_ruleset_nft_set_element(const struct ruleset_reading *reading,
					    const struct ruleset_element *element, struct ruleset_rule *rule)
{
	struct ruleset_match *match = &rule->matches[reading->where];

	match->length = element->length;
	memcpy(match->value, element->key, sizeof(match->value));
	if (!reading->is_map)
		return;
	rule->verdict = element->verdict;
	rule->word[0] = '\0';
	memcpy(rule->target, element->target, sizeof(rule->target));
}

/* Adds the rule just read to CHAIN, once, or once for each element of its set. 0, or -1 without memory. */
static int inspect_ruleset_nft_add_rules(const struct ruleset_reading *reading, struct ruleset_chain *chain)
{
	size_t copies = reading->has_lookup ? reading->element_count : 1;

	for (size_t i = 0; i < copies; i++) {
		struct ruleset_rule *rule = inspect_ruleset_add_rule(chain);
		if (!rule)
			return -1;
		*rule = *reading->rule;
		if (reading->has_lookup)
			inspect_ruleset_nft_set_element(reading, &reading->elements[i], rule);
	}
	return 0;
}

static void inspect_ruleset_nft_read_match(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	uint32_t length = 0;
	const void *data = nftnl_expr_get(expr, NFTNL_EXPR_MT_INFO, &length);

	inspect_ruleset_add_xt_match(reading->rule, nftnl_expr_get_str(expr, NFTNL_EXPR_MT_NAME),
				     nftnl_expr_get_u32(expr, NFTNL_EXPR_MT_REV), data, data ? length : 0);
}

static void inspect_ruleset_nft_read_target(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	inspect_ruleset_set_xt_target(reading->rule, nftnl_expr_get_str(expr, NFTNL_EXPR_TG_NAME));
	reading->ended = reading->rule->verdict != VERDICT_NONE;
}

static void inspect_ruleset_nft_read_reject(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	(void)expr;
	inspect_ruleset_nft_set_verdict(reading, VERDICT_DROP, "reject");
}

static void inspect_ruleset_nft_read_redirect(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	(void)expr;
	inspect_ruleset_nft_set_verdict(reading, VERDICT_REDIRECT, "redirect");
}

static void inspect_ruleset_nft_read_tproxy(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	(void)expr;
	/* It names a socket and lets the rule go on, but the packets end there all the same. */
	inspect_ruleset_nft_set_verdict(reading, VERDICT_REDIRECT, "tproxy");
}

static void inspect_ruleset_nft_read_masquerade(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	(void)expr;
	inspect_ruleset_nft_set_verdict(reading, VERDICT_ACCEPT, "masquerade");
}

static void inspect_ruleset_nft_read_queue(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	(void)expr;
	inspect_ruleset_nft_set_verdict(reading, VERDICT_UNKNOWN, "queue");
}

static void inspect_ruleset_nft_read_nothing(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	(void)reading;
	(void)expr;
}

static const struct {
	const char *name;
	void (*read)(struct ruleset_reading *reading, const struct nftnl_expr *expr);
} readers[] = {
	{ "meta", inspect_ruleset_nft_read_meta },
	{ "payload", inspect_ruleset_nft_read_payload },
	{ "ct", inspect_ruleset_nft_read_ct },
	{ "fib", inspect_ruleset_nft_read_fib },
	{ "bitwise", inspect_ruleset_nft_read_bitwise },
	{ "cmp", inspect_ruleset_nft_read_cmp },
	{ "immediate", inspect_ruleset_nft_read_immediate },
	{ "nat", inspect_ruleset_nft_read_nat },
	{ "lookup", inspect_ruleset_nft_read_lookup },
	{ "match", inspect_ruleset_nft_read_match },
	{ "target", inspect_ruleset_nft_read_target },
	{ "reject", inspect_ruleset_nft_read_reject },
	{ "redir", inspect_ruleset_nft_read_redirect },
	{ "tproxy", inspect_ruleset_nft_read_tproxy },
	{ "masq", inspect_ruleset_nft_read_masquerade },
	{ "queue", inspect_ruleset_nft_read_queue },
	{ "counter", inspect_ruleset_nft_read_nothing },
	{ "log", inspect_ruleset_nft_read_nothing },
	{ "objref", inspect_ruleset_nft_read_nothing },
	{ "notrack", inspect_ruleset_nft_read_nothing },
	{ "last", inspect_ruleset_nft_read_nothing },
	{ "dynset", inspect_ruleset_nft_read_nothing },
	{ "flow_offload", inspect_ruleset_nft_read_nothing },
};

static int inspect_ruleset_nft_read_expression(struct nftnl_expr *expr, void *data)
{
	struct ruleset_reading *reading = data;
	const char *name = nftnl_expr_get_str(expr, NFTNL_EXPR_NAME);

	if (reading->ended)
		return 0;
	for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++) {
		if (strcmp(name, readers[i].name) == 0) {
			readers[i].read(reading, expr);
			return 0;
		}
	}
	/* It may be a condition, and it may have written to any register. */
	inspect_ruleset_nft_add_unknown(reading);
	for (size_t i = 0; i < REGISTERS; i++)
		reading->registers[i].field = FIELD_UNKNOWN;
	return 0;
}

static const char *inspect_ruleset_nft_family_name(uint32_t family)
{
	return family == NFPROTO_IPV4 ? "ip" : family == NFPROTO_INET ? "inet" : NULL;
}

static void inspect_ruleset_nft_copy_name(char *name, const char *text)
{
	snprintf(name, RULESET_NAME_SIZE, "%.63s", text ? text : "");
}

/* Reads the hook of a base chain, and its policy there. */
static void inspect_ruleset_nft_read_hook(const struct nftnl_chain *chain, struct ruleset_chain *added)
{
	uint32_t hook = nftnl_chain_get_u32(chain, NFTNL_CHAIN_HOOKNUM);
	const char *type = nftnl_chain_get_str(chain, NFTNL_CHAIN_TYPE);

	if (!nftnl_chain_is_set(chain, NFTNL_CHAIN_HOOKNUM))
		return;
	added->hook = hook <= NF_INET_POST_ROUTING ? (enum ruleset_hook)hook : HOOK_NONE;
	added->priority = nftnl_chain_get_s32(chain, NFTNL_CHAIN_PRIO);
	added->drops = nftnl_chain_get_u32(chain, NFTNL_CHAIN_POLICY) == NF_DROP;
	snprintf(added->type, sizeof(added->type), "%.15s", type ? type : "");
}

/* 0, or -1 with errno. A chain of another family is skipped. */
static int inspect_ruleset_nft_add_chain(struct ruleset *ruleset, const struct nftnl_chain *chain)
{
	const char *family = inspect_ruleset_nft_family_name(nftnl_chain_get_u32(chain, NFTNL_CHAIN_FAMILY));

	if (!family)
		return 0;
	struct ruleset_chain *added = inspect_ruleset_add_chain(ruleset);
	if (!added) {
		errno = ENOMEM;
		return -1;
	}
	snprintf(added->family, sizeof(added->family), "%s", family);
	inspect_ruleset_nft_copy_name(added->table, nftnl_chain_get_str(chain, NFTNL_CHAIN_TABLE));
	inspect_ruleset_nft_copy_name(added->name, nftnl_chain_get_str(chain, NFTNL_CHAIN_NAME));
	inspect_ruleset_nft_read_hook(chain, added);
	return 0;
}

static int inspect_ruleset_nft_take_chain(const struct nlmsghdr *message, void *data)
{
	struct nftnl_chain *chain = nftnl_chain_alloc();

	if (!chain)
		return MNL_CB_ERROR;
	int result = nftnl_chain_nlmsg_parse(message, chain);
	if (result == 0)
		result = inspect_ruleset_nft_add_chain(data, chain);
	nftnl_chain_free(chain);
	return result == 0 ? MNL_CB_OK : MNL_CB_ERROR;
}

/* Rules come chain by chain, so the chain of the rule before (LAST; NULL) is the likeliest. */
static struct ruleset_chain *inspect_ruleset_nft_chain_of(struct ruleset *ruleset, const struct nftnl_rule *rule,
							  struct ruleset_chain *last)
{
	struct ruleset_chain beside = { 0 };
	const char *family = inspect_ruleset_nft_family_name(nftnl_rule_get_u32(rule, NFTNL_RULE_FAMILY));
	const char *name = nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN);

	if (!family || !name)
		return NULL;
	snprintf(beside.family, sizeof(beside.family), "%s", family);
	inspect_ruleset_nft_copy_name(beside.table, nftnl_rule_get_str(rule, NFTNL_RULE_TABLE));
	if (last && strcmp(last->name, name) == 0 && strcmp(last->table, beside.table) == 0 &&
	    strcmp(last->family, family) == 0)
		return last;
	return (struct ruleset_chain *)inspect_ruleset_find(ruleset, &beside, name);
}

struct taking {
	struct ruleset *ruleset;
	struct ruleset_chain *last; /* NULL: none yet */
};

static int inspect_ruleset_nft_take_rule(const struct nlmsghdr *message, void *data)
{
	struct taking *taking = data;
	struct nftnl_rule *rule = nftnl_rule_alloc();
	struct ruleset_chain *chain = NULL;
	int added = 0;

	if (!rule)
		return MNL_CB_ERROR;
	int parsed = nftnl_rule_nlmsg_parse(message, rule);
	if (parsed == 0)
		chain = inspect_ruleset_nft_chain_of(taking->ruleset, rule, taking->last);
	if (chain) {
		struct ruleset_rule model = { .handle = nftnl_rule_get_u64(rule, NFTNL_RULE_HANDLE) };
		struct ruleset_reading reading = { .table = chain->table,
						   .family = nftnl_rule_get_u32(rule, NFTNL_RULE_FAMILY),
						   .rule = &model };
		nftnl_expr_foreach(rule, inspect_ruleset_nft_read_expression, &reading);
		added = inspect_ruleset_nft_add_rules(&reading, chain);
		taking->last = chain;
	}
	nftnl_rule_free(rule);
	if (added < 0)
		errno = ENOMEM;
	return parsed == 0 && added == 0 ? MNL_CB_OK : MNL_CB_ERROR;
}

/* 0, or -1 with errno; EINTR: the ruleset changed meanwhile. */
static int inspect_ruleset_nft_dump(struct mnl_socket *socket, uint16_t type, mnl_cb_t take, void *context)
{
	char buffer[1 << 16];
	int result = 1;
	struct nlmsghdr *message = nftnl_nlmsg_build_hdr(buffer, type, NFPROTO_UNSPEC, NLM_F_DUMP, type + 1u);

	if (mnl_socket_sendto(socket, message, message->nlmsg_len) < 0)
		return -1;
	while (result > 0) {
		ssize_t length = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));
		if (length < 0)
			return -1;
		result = mnl_cb_run(buffer, (size_t)length, type + 1u, mnl_socket_get_portid(socket), take, context);
	}
	return result;
}

static int inspect_ruleset_nft_read_once(struct ruleset *ruleset, struct err *err)
{
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	struct taking taking = { .ruleset = ruleset };
	int result;

	if (!socket)
		return err_set(err, errno, "a netlink socket");
	result = mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID);
	if (result == 0)
		result = inspect_ruleset_nft_dump(socket, NFT_MSG_GETCHAIN, inspect_ruleset_nft_take_chain, ruleset);
	if (result == 0)
		result = inspect_ruleset_nft_dump(socket, NFT_MSG_GETRULE, inspect_ruleset_nft_take_rule, &taking);
	if (result < 0)
		err_set(err, errno, "reading the nftables ruleset");
	mnl_socket_close(socket);
	return result;
}

int inspect_ruleset_read(struct ruleset *ruleset, struct err *err)
{
	int result = -1;

	*ruleset = (struct ruleset){ 0 };
	for (int tries = 0; result < 0 && tries < DUMP_TRIES; tries++) {
		inspect_ruleset_clear(ruleset);
		result = inspect_ruleset_nft_read_once(ruleset, err);
		if (result < 0 && err->code != EINTR)
			break;
	}
	if (result == 0)
		result = inspect_ruleset_read_legacy(ruleset, err);
	if (result < 0)
		inspect_ruleset_clear(ruleset);
	return result;
}

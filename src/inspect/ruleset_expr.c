/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Turns the expressions of an nft rule into steps of the model, one for one where the model knows what they do. An expression that
 * it does not know may be a condition, and may write to any register.
 */
#include "inspect/ruleset_nft.h"

#include <stdio.h>

#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter/nf_tables.h>
#include <string.h>

struct ruleset_reading {
	struct ruleset *ruleset;
	const struct ruleset_chain *chain;
	struct ruleset_rule *rule;
	bool ended; /* there was a verdict */
};

/* The byte at which the register NUMBER begins, in either numbering. */
static uint8_t inspect_expr_register(uint32_t number)
{
	uint32_t at = number >= NFT_REG32_00 ? (number - NFT_REG32_00) * 4 : (number - 1) * 16;

	return at < RULESET_REGISTERS_SIZE ? (uint8_t)at : RULESET_NO_REGISTER;
}

static uint8_t inspect_expr_register_in(const struct nftnl_expr *expr, uint16_t attribute)
{
	return inspect_expr_register(nftnl_expr_get_u32(expr, attribute));
}

static void inspect_expr_add(struct ruleset_reading *reading, const struct ruleset_step *step)
{
	inspect_ruleset_add_step(reading->rule, step);
}

static void inspect_expr_doubt(struct ruleset_reading *reading, bool elsewhere)
{
	inspect_expr_add(reading, &(struct ruleset_step){ .kind = STEP_DOUBT, .elsewhere = elsewhere });
}

static void inspect_expr_forget(struct ruleset_reading *reading, uint8_t target, bool elsewhere)
{
	inspect_expr_add(
	    reading, &(struct ruleset_step){
			 .kind = STEP_FORGET, .target = target, .length = RULESET_VALUE_SIZE, .elsewhere = elsewhere });
}

static void inspect_expr_load(struct ruleset_reading *reading, uint8_t target, enum ruleset_field field,
			      uint32_t offset, uint32_t length)
{
	inspect_expr_add(reading, &(struct ruleset_step){ .kind = STEP_LOAD,
							  .field = field,
							  .target = target,
							  .offset = offset < UINT8_MAX ? (uint8_t)offset : UINT8_MAX,
							  .length = length < RULESET_KEY_SIZE ? (uint8_t)length
											      : RULESET_KEY_SIZE });
}

/* Copies an expression's data, if it is short enough. */
static bool inspect_expr_copy(const struct nftnl_expr *expr, uint16_t attribute,
			      uint8_t value[static RULESET_VALUE_SIZE], uint8_t *length)
{
	uint32_t size = 0;
	const void *data = nftnl_expr_get(expr, attribute, &size);

	if (!data || size > RULESET_VALUE_SIZE)
		return false;
	memcpy(value, data, size);
	*length = (uint8_t)size;
	return true;
}

/* ---- Loads ---- */

struct expr_field {
	uint32_t key;
	enum ruleset_field field;
	uint8_t length;
};

static const struct expr_field *inspect_expr_find(const struct expr_field *fields, size_t count, uint32_t key)
{
	for (size_t i = 0; i < count; i++)
		if (fields[i].key == key)
			return &fields[i];
	return NULL;
}

/* Of the keys that the model does not know: whether they have to do with links, or else with processes, time or chance. */
static bool inspect_expr_meta_is_elsewhere(uint32_t key)
{
	static const uint32_t others[] = { NFT_META_LEN,     NFT_META_PRIORITY, NFT_META_CGROUP,   NFT_META_CPU,
					   NFT_META_PRANDOM, NFT_META_TIME_NS,  NFT_META_TIME_DAY, NFT_META_TIME_HOUR,
					   NFT_META_SECMARK, NFT_META_SECPATH };

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (others[i] == key)
			return false;
	return true;
}

static void inspect_expr_read_meta(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	static const struct expr_field fields[] = {
		{ NFT_META_IIFNAME, FIELD_IIFNAME, 16 },
		{ NFT_META_OIFNAME, FIELD_OIFNAME, 16 },
		{ NFT_META_IIFGROUP, FIELD_IIFGROUP, 4 },
		{ NFT_META_OIFGROUP, FIELD_OIFGROUP, 4 },
		{ NFT_META_IIF, FIELD_IIF, 4 },
		{ NFT_META_OIF, FIELD_OIF, 4 },
		{ NFT_META_NFPROTO, FIELD_NFPROTO, 1 },
		{ NFT_META_L4PROTO, FIELD_L4PROTO, 1 },
		{ NFT_META_PROTOCOL, FIELD_ETHERTYPE, 2 },
		{ NFT_META_MARK, FIELD_MARK, 4 },
		{ NFT_META_SKUID, FIELD_USER, 4 },
		{ NFT_META_SKGID, FIELD_USER_GROUP, 4 },
	};
	uint32_t key = nftnl_expr_get_u32(expr, NFTNL_EXPR_META_KEY);
	const struct expr_field *field = inspect_expr_find(fields, sizeof(fields) / sizeof(fields[0]), key);

	if (nftnl_expr_is_set(expr, NFTNL_EXPR_META_DREG)) {
		uint8_t target = inspect_expr_register_in(expr, NFTNL_EXPR_META_DREG);
		if (field)
			inspect_expr_load(reading, target, field->field, 0, field->length);
		else
			inspect_expr_forget(reading, target, inspect_expr_meta_is_elsewhere(key));
	} else if (key == NFT_META_MARK) {
		inspect_expr_add(
		    reading, &(struct ruleset_step){ .kind = STEP_MARK,
						     .source = inspect_expr_register_in(expr, NFTNL_EXPR_META_SREG) });
	}
}

static void inspect_expr_read_payload(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	uint32_t base = nftnl_expr_get_u32(expr, NFTNL_EXPR_PAYLOAD_BASE);
	uint32_t offset = nftnl_expr_get_u32(expr, NFTNL_EXPR_PAYLOAD_OFFSET);
	uint32_t length = nftnl_expr_get_u32(expr, NFTNL_EXPR_PAYLOAD_LEN);
	bool network = base == NFT_PAYLOAD_NETWORK_HEADER, transport = base == NFT_PAYLOAD_TRANSPORT_HEADER;

	if (nftnl_expr_is_set(expr, NFTNL_EXPR_PAYLOAD_DREG)) {
		uint8_t target = inspect_expr_register_in(expr, NFTNL_EXPR_PAYLOAD_DREG);
		if (network || transport)
			inspect_expr_load(reading, target, network ? FIELD_NETWORK : FIELD_TRANSPORT, offset, length);
		else
			inspect_expr_forget(reading, target, true);
		return;
	}
	/* It writes: to the addresses, to the ports, or to what nobody asks for. */
	if ((network && offset + length > 12) || (transport && offset < 4))
		inspect_expr_add(reading, &(struct ruleset_step){ .kind = STEP_ALTER });
}

/* A part of the connection's first packet, as `ct original ip daddr`; false: it is none. */
static bool inspect_expr_read_original(struct ruleset_reading *reading, const struct nftnl_expr *expr, uint32_t key)
{
	static const struct {
		uint32_t key;
		uint8_t offset, length;
		bool any_family; /* else in IPv4's tables alone, since it has 16 bytes elsewhere */
	} parts[] = {
		{ NFT_CT_SRC, ORIGINAL_SOURCE, 4, false },           { NFT_CT_DST, ORIGINAL_DESTINATION, 4, false },
		{ NFT_CT_SRC_IP, ORIGINAL_SOURCE, 4, true },         { NFT_CT_DST_IP, ORIGINAL_DESTINATION, 4, true },
		{ NFT_CT_PROTO_SRC, ORIGINAL_SOURCE_PORT, 2, true }, { NFT_CT_PROTO_DST, ORIGINAL_PORT, 2, true },
		{ NFT_CT_PROTOCOL, ORIGINAL_PROTOCOL, 1, true },
	};
	bool ipv4 = strcmp(reading->chain->family, "ip") == 0;

	if (!nftnl_expr_is_set(expr, NFTNL_EXPR_CT_DIR) ||
	    nftnl_expr_get_u8(expr, NFTNL_EXPR_CT_DIR) != IP_CT_DIR_ORIGINAL)
		return false;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (parts[i].key != key || !(parts[i].any_family || ipv4))
			continue;
		inspect_expr_load(reading, inspect_expr_register_in(expr, NFTNL_EXPR_CT_DREG), FIELD_CT_ORIGINAL,
				  parts[i].offset, parts[i].length);
		return true;
	}
	return false;
}

static void inspect_expr_read_ct(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	static const struct expr_field fields[] = {
		{ NFT_CT_STATE, FIELD_CT_STATE, 4 },
		{ NFT_CT_DIRECTION, FIELD_CT_DIRECTION, 1 },
		{ NFT_CT_STATUS, FIELD_CT_STATUS, 4 },
		{ NFT_CT_MARK, FIELD_CT_MARK, 4 },
	};
	uint32_t key = nftnl_expr_get_u32(expr, NFTNL_EXPR_CT_KEY);
	const struct expr_field *field = inspect_expr_find(fields, sizeof(fields) / sizeof(fields[0]), key);

	if (nftnl_expr_is_set(expr, NFTNL_EXPR_CT_DREG)) {
		uint8_t target = inspect_expr_register_in(expr, NFTNL_EXPR_CT_DREG);
		if (field)
			inspect_expr_load(reading, target, field->field, 0, field->length);
		else if (!inspect_expr_read_original(reading, expr, key))
			inspect_expr_forget(reading, target, true);
	} else if (key == NFT_CT_MARK) {
		inspect_expr_add(
		    reading, &(struct ruleset_step){ .kind = STEP_CT_MARK,
						     .source = inspect_expr_register_in(expr, NFTNL_EXPR_CT_SREG) });
	}
}

static void inspect_expr_read_fib(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	uint8_t target = inspect_expr_register_in(expr, NFTNL_EXPR_FIB_DREG);
	uint32_t flags = nftnl_expr_get_u32(expr, NFTNL_EXPR_FIB_FLAGS);
	bool type = nftnl_expr_get_u32(expr, NFTNL_EXPR_FIB_RESULT) == NFT_FIB_RESULT_ADDRTYPE;

	if (type && flags == NFTA_FIB_F_DADDR)
		inspect_expr_load(reading, target, FIELD_DESTINATION_TYPE, 0, 4);
	else if (type && flags == NFTA_FIB_F_SADDR)
		inspect_expr_load(reading, target, FIELD_SOURCE_TYPE, 0, 4);
	else
		inspect_expr_forget(reading, target, true);
}

/* ---- Changes of registers ---- */

static void inspect_expr_read_bitwise(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	uint32_t op = nftnl_expr_get_u32(expr, NFTNL_EXPR_BITWISE_OP), length = 0;
	struct ruleset_step step = { .source = inspect_expr_register_in(expr, NFTNL_EXPR_BITWISE_SREG),
				     .target = inspect_expr_register_in(expr, NFTNL_EXPR_BITWISE_DREG),
				     .length = (uint8_t)nftnl_expr_get_u32(expr, NFTNL_EXPR_BITWISE_LEN) };

	if (op == NFT_BITWISE_BOOL) {
		step.kind = STEP_MASK;
		if (inspect_expr_copy(expr, NFTNL_EXPR_BITWISE_MASK, step.a, &step.length) &&
		    inspect_expr_copy(expr, NFTNL_EXPR_BITWISE_XOR, step.b, &step.length)) {
			inspect_expr_add(reading, &step);
			return;
		}
	} else if (op == NFT_BITWISE_LSHIFT || op == NFT_BITWISE_RSHIFT) {
		const uint32_t *data = nftnl_expr_get(expr, NFTNL_EXPR_BITWISE_DATA, &length);
		uint32_t amount = UINT32_MAX;
		if (data && length == sizeof(amount))
			memcpy(&amount, data, sizeof(amount));
		step.kind = STEP_SHIFT;
		if (amount < 32) {
			step.amount = (int16_t)(op == NFT_BITWISE_LSHIFT ? (int)amount : -(int)amount);
			inspect_expr_add(reading, &step);
			return;
		}
	}
	inspect_expr_forget(reading, step.target, true);
}

static void inspect_expr_read_byteorder(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	inspect_expr_add(
	    reading, &(struct ruleset_step){ .kind = STEP_SWAP,
					     .source = inspect_expr_register_in(expr, NFTNL_EXPR_BYTEORDER_SREG),
					     .target = inspect_expr_register_in(expr, NFTNL_EXPR_BYTEORDER_DREG),
					     .length = (uint8_t)nftnl_expr_get_u32(expr, NFTNL_EXPR_BYTEORDER_LEN),
					     .amount = (int16_t)nftnl_expr_get_u32(expr, NFTNL_EXPR_BYTEORDER_SIZE) });
}

/* ---- Conditions ---- */

static void inspect_expr_read_cmp(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	static const enum ruleset_compare compares[] = {
		[NFT_CMP_EQ] = COMPARE_EQUAL,    [NFT_CMP_NEQ] = COMPARE_DIFFERS, [NFT_CMP_LT] = COMPARE_LESS,
		[NFT_CMP_LTE] = COMPARE_AT_MOST, [NFT_CMP_GT] = COMPARE_MORE,     [NFT_CMP_GTE] = COMPARE_AT_LEAST,
	};
	uint32_t op = nftnl_expr_get_u32(expr, NFTNL_EXPR_CMP_OP);
	struct ruleset_step step = { .kind = STEP_COMPARE,
				     .source = inspect_expr_register_in(expr, NFTNL_EXPR_CMP_SREG) };

	if (op >= sizeof(compares) / sizeof(compares[0]) ||
	    !inspect_expr_copy(expr, NFTNL_EXPR_CMP_DATA, step.a, &step.length)) {
		inspect_expr_doubt(reading, true);
		return;
	}
	step.compare = compares[op];
	inspect_expr_add(reading, &step);
}

static void inspect_expr_read_range(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	uint8_t length = 0;
	struct ruleset_step step = { .kind = STEP_RANGE,
				     .source = inspect_expr_register_in(expr, NFTNL_EXPR_RANGE_SREG),
				     .inverted = nftnl_expr_get_u32(expr, NFTNL_EXPR_RANGE_OP) == NFT_RANGE_NEQ };

	if (inspect_expr_copy(expr, NFTNL_EXPR_RANGE_FROM_DATA, step.a, &step.length) &&
	    inspect_expr_copy(expr, NFTNL_EXPR_RANGE_TO_DATA, step.b, &length) && length == step.length)
		inspect_expr_add(reading, &step);
	else
		inspect_expr_doubt(reading, true);
}

/* The number of the set NAME in the table of the rule, which is read later. */
static bool inspect_expr_want_set(struct ruleset_reading *reading, const char *name, size_t *number)
{
	struct ruleset *ruleset = reading->ruleset;

	for (*number = 0; *number < ruleset->sets.count; (*number)++) {
		const struct ruleset_set *set = &ruleset->sets.items[*number];
		if (strncmp(set->name, name, RULESET_NAME_SIZE - 1) == 0 &&
		    strcmp(set->table, reading->chain->table) == 0 && strcmp(set->family, reading->chain->family) == 0)
			return true;
	}
	struct ruleset_set *set = inspect_ruleset_add_set(ruleset);
	if (!set) {
		reading->rule->incomplete = true;
		return false;
	}
	memcpy(set->family, reading->chain->family, sizeof(set->family));
	memcpy(set->table, reading->chain->table, sizeof(set->table));
	snprintf(set->name, sizeof(set->name), "%.63s", name);
	return true;
}

static void inspect_expr_read_lookup(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	const char *name = nftnl_expr_get_str(expr, NFTNL_EXPR_LOOKUP_SET);
	struct ruleset_step step = {
		.kind = STEP_LOOKUP,
		.source = inspect_expr_register_in(expr, NFTNL_EXPR_LOOKUP_SREG),
		.target = RULESET_NO_REGISTER,
		.inverted = nftnl_expr_get_u32(expr, NFTNL_EXPR_LOOKUP_FLAGS) & NFT_LOOKUP_F_INV,
	};

	if (nftnl_expr_is_set(expr, NFTNL_EXPR_LOOKUP_DREG)) {
		if (nftnl_expr_get_u32(expr, NFTNL_EXPR_LOOKUP_DREG) == NFT_REG_VERDICT)
			step.kind = STEP_VERDICTS;
		else
			step.target = inspect_expr_register_in(expr, NFTNL_EXPR_LOOKUP_DREG);
	}
	if (!name || !inspect_expr_want_set(reading, name, &step.set)) {
		inspect_expr_doubt(reading, true);
		return;
	}
	inspect_expr_add(reading, &step);
	reading->ended = step.kind == STEP_VERDICTS;
}

static void inspect_expr_read_match(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	uint32_t length = 0;
	const void *data = nftnl_expr_get(expr, NFTNL_EXPR_MT_INFO, &length);
	const char *name = nftnl_expr_get_str(expr, NFTNL_EXPR_MT_NAME);

	if (name)
		inspect_ruleset_add_xt_match(reading->rule, name, nftnl_expr_get_u32(expr, NFTNL_EXPR_MT_REV), data,
					     data ? length : 0);
	else
		inspect_expr_doubt(reading, true);
}

/* It adds to a set. With an expression of its own, such as a limit for each address, it is a condition too. */
static void inspect_expr_read_dynset(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	if (nftnl_expr_is_set(expr, NFTNL_EXPR_DYNSET_EXPR) || nftnl_expr_is_set(expr, NFTNL_EXPR_DYNSET_EXPRESSIONS))
		inspect_expr_doubt(reading, true);
}

static void inspect_expr_read_objref(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	uint32_t type = nftnl_expr_get_u32(expr, NFTNL_EXPR_OBJREF_IMM_TYPE);

	if (!nftnl_expr_is_set(expr, NFTNL_EXPR_OBJREF_IMM_TYPE))
		inspect_expr_doubt(reading, true);
	else if (type == NFT_OBJECT_QUOTA || type == NFT_OBJECT_LIMIT || type == NFT_OBJECT_CONNLIMIT)
		inspect_expr_doubt(reading, false);
	else if (type == NFT_OBJECT_SYNPROXY)
		reading->rule->verdict = VERDICT_UNKNOWN;
}

/* Rates, quotas and options of headers: conditions that do not depend on where a packet goes. */
static void inspect_expr_read_chance(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	/* With a source register it writes an option. */
	if (strcmp(nftnl_expr_get_str(expr, NFTNL_EXPR_NAME), "exthdr") == 0 &&
	    nftnl_expr_is_set(expr, NFTNL_EXPR_EXTHDR_SREG))
		return;
	inspect_expr_doubt(reading, false);
	for (unsigned at = 0; at < RULESET_REGISTERS_SIZE; at += RULESET_VALUE_SIZE)
		inspect_expr_forget(reading, (uint8_t)at, false);
}

static void inspect_expr_read_stranger(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	(void)expr;
	inspect_expr_doubt(reading, true);
	for (unsigned at = 0; at < RULESET_REGISTERS_SIZE; at += RULESET_VALUE_SIZE)
		inspect_expr_forget(reading, (uint8_t)at, true);
}

/* The owner's cgroup has nothing to do with where a packet goes; whether there is a socket has. */
static void inspect_expr_read_socket(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	if (nftnl_expr_get_u32(expr, NFTNL_EXPR_SOCKET_KEY) == NFT_SOCKET_CGROUPV2)
		inspect_expr_read_chance(reading, expr);
	else
		inspect_expr_read_stranger(reading, expr);
}

/* ---- Verdicts ---- */

static void inspect_expr_set_verdict(struct ruleset_reading *reading, enum ruleset_verdict verdict, const char *word)
{
	reading->rule->verdict = verdict;
	snprintf(reading->rule->word, sizeof(reading->rule->word), "%s", word);
	reading->ended = true;
}

static void inspect_expr_read_immediate(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	uint32_t number = nftnl_expr_get_u32(expr, NFTNL_EXPR_IMM_DREG);
	const char *chain = nftnl_expr_get_str(expr, NFTNL_EXPR_IMM_CHAIN);
	struct ruleset_step step = { .kind = STEP_SET, .target = inspect_expr_register(number) };

	if (number != NFT_REG_VERDICT) {
		if (inspect_expr_copy(expr, NFTNL_EXPR_IMM_DATA, step.a, &step.length))
			inspect_expr_add(reading, &step);
		else
			inspect_expr_forget(reading, step.target, true);
		return;
	}
	enum ruleset_verdict verdict = inspect_verdict_of((int)nftnl_expr_get_u32(expr, NFTNL_EXPR_IMM_VERDICT));
	if (verdict != VERDICT_NONE)
		inspect_expr_set_verdict(reading, verdict, "");
	snprintf(reading->rule->target, sizeof(reading->rule->target), "%.63s", chain ? chain : "");
}

static void inspect_expr_read_nat(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	if (nftnl_expr_get_u32(expr, NFTNL_EXPR_NAT_TYPE) == NFT_NAT_DNAT)
		inspect_expr_set_verdict(reading, VERDICT_REDIRECT, "dnat");
	else
		inspect_expr_set_verdict(reading, VERDICT_ACCEPT, "snat");
}

static void inspect_expr_read_target(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	uint32_t length = 0;
	const void *data = nftnl_expr_get(expr, NFTNL_EXPR_TG_INFO, &length);
	const char *name = nftnl_expr_get_str(expr, NFTNL_EXPR_TG_NAME);

	inspect_ruleset_set_xt_target(reading->rule, name ? name : "?", nftnl_expr_get_u32(expr, NFTNL_EXPR_TG_REV),
				      data, data ? length : 0);
	reading->ended = reading->rule->verdict != VERDICT_NONE;
}

static void inspect_expr_read_notrack(struct ruleset_reading *reading, const struct nftnl_expr *expr)
{
	(void)expr;
	inspect_expr_add(reading, &(struct ruleset_step){ .kind = STEP_UNTRACK });
}

/* An expression that is a verdict whatever is in it. A tproxy lets the rule go on, but the packets end there all the same. */
static bool inspect_expr_is_verdict(struct ruleset_reading *reading, const char *name)
{
	static const struct {
		const char *name, *word;
		enum ruleset_verdict verdict;
	} verdicts[] = {
		{ "reject", "reject", VERDICT_DROP },     { "redir", "redirect", VERDICT_REDIRECT },
		{ "tproxy", "tproxy", VERDICT_REDIRECT }, { "masq", "masquerade", VERDICT_ACCEPT },
		{ "queue", "queue", VERDICT_UNKNOWN },    { "synproxy", "synproxy", VERDICT_UNKNOWN },
	};

	for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++) {
		if (strcmp(name, verdicts[i].name) == 0) {
			inspect_expr_set_verdict(reading, verdicts[i].verdict, verdicts[i].word);
			return true;
		}
	}
	return false;
}

/* ---- */

static const struct {
	const char *name;
	void (*read)(struct ruleset_reading *reading,
		     const struct nftnl_expr *expr); /* NULL: it changes nothing here */
} expressions[] = {
	{ "meta", inspect_expr_read_meta },
	{ "payload", inspect_expr_read_payload },
	{ "ct", inspect_expr_read_ct },
	{ "fib", inspect_expr_read_fib },
	{ "bitwise", inspect_expr_read_bitwise },
	{ "byteorder", inspect_expr_read_byteorder },
	{ "cmp", inspect_expr_read_cmp },
	{ "range", inspect_expr_read_range },
	{ "lookup", inspect_expr_read_lookup },
	{ "match", inspect_expr_read_match },
	{ "dynset", inspect_expr_read_dynset },
	{ "objref", inspect_expr_read_objref },
	{ "limit", inspect_expr_read_chance },
	{ "quota", inspect_expr_read_chance },
	{ "numgen", inspect_expr_read_chance },
	{ "connlimit", inspect_expr_read_chance },
	{ "exthdr", inspect_expr_read_chance },
	{ "socket", inspect_expr_read_socket },
	{ "immediate", inspect_expr_read_immediate },
	{ "nat", inspect_expr_read_nat },
	{ "target", inspect_expr_read_target },
	{ "notrack", inspect_expr_read_notrack },
	{ "counter", NULL },
	{ "log", NULL },
	{ "last", NULL },
	{ "dup", NULL },
	{ "flow_offload", NULL },
};

static int inspect_expr_read_one(struct nftnl_expr *expr, void *data)
{
	struct ruleset_reading *reading = data;
	const char *name = nftnl_expr_get_str(expr, NFTNL_EXPR_NAME);

	if (reading->ended || inspect_expr_is_verdict(reading, name))
		return 0;
	for (size_t i = 0; i < sizeof(expressions) / sizeof(expressions[0]); i++) {
		if (strcmp(name, expressions[i].name) == 0) {
			if (expressions[i].read)
				expressions[i].read(reading, expr);
			return 0;
		}
	}
	inspect_expr_read_stranger(reading, expr);
	return 0;
}

void inspect_expr_read_rule(struct ruleset *ruleset, const struct ruleset_chain *chain, const struct nftnl_rule *rule,
			    struct ruleset_rule *added)
{
	struct ruleset_reading reading = { .ruleset = ruleset, .chain = chain, .rule = added };

	nftnl_expr_foreach((struct nftnl_rule *)rule, inspect_expr_read_one, &reading);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A rule is a list of expressions that load registers, compare them and act. Values are compared in the packet's byte order;
 * values that the kernel computes (interface groups, conntrack states, marks) are in the machine's. Register 1 holds up to 16
 * bytes. The fields of a concatenation go to its four parts, the first of which is number 1 as well.
 */
#include "nft/expr.h"

#include "nft/part.h"

#include <endian.h>

enum { RULE_ROOM = 4096 };

bool nft_rule_open(struct nft_batch *batch, const char *chain)
{
	int place = batch->ahead ? 0 : NLM_F_APPEND;
	struct nlmsghdr *message = nft_batch_open(batch, NFT_MSG_NEWRULE, NLM_F_CREATE | place, RULE_ROOM);

	if (!message)
		return false;
	mnl_attr_put_strz(message, NFTA_RULE_TABLE, NFT_TABLE_NAME);
	mnl_attr_put_strz(message, NFTA_RULE_CHAIN, chain);
	batch->expressions = mnl_attr_nest_start(message, NFTA_RULE_EXPRESSIONS);
	batch->stated = 0;
	return true;
}

void nft_rule_close(struct nft_batch *batch)
{
	mnl_attr_nest_end(batch->open, batch->expressions);
	nft_batch_close(batch);
}

/* ---- Expressions ---- */

struct nft_part nft_part_begin(struct nft_batch *batch, const char *name)
{
	struct nft_part part = { .item = mnl_attr_nest_start(batch->open, NFTA_LIST_ELEM) };

	mnl_attr_put_strz(batch->open, NFTA_EXPR_NAME, name);
	part.data = mnl_attr_nest_start(batch->open, NFTA_EXPR_DATA);
	return part;
}

void nft_part_end(struct nft_batch *batch, struct nft_part part)
{
	mnl_attr_nest_end(batch->open, part.data);
	mnl_attr_nest_end(batch->open, part.item);
}

void nft_part_u32(struct nft_batch *batch, uint16_t type, uint32_t value)
{
	mnl_attr_put_u32(batch->open, type, htobe32(value));
}

void nft_part_u64(struct nft_batch *batch, uint16_t type, uint64_t value)
{
	mnl_attr_put_u64(batch->open, type, htobe64(value));
}

void nft_part_value(struct nft_batch *batch, uint16_t type, const void *value, size_t size)
{
	struct nlattr *part = mnl_attr_nest_start(batch->open, type);

	mnl_attr_put(batch->open, NFTA_DATA_VALUE, size, value);
	mnl_attr_nest_end(batch->open, part);
}

void nft_part_limit(struct nft_batch *batch, uint32_t type, uint64_t per_second, uint32_t burst, uint32_t flags)
{
	nft_part_u64(batch, NFTA_LIMIT_RATE, per_second);
	nft_part_u64(batch, NFTA_LIMIT_UNIT, 1);
	nft_part_u32(batch, NFTA_LIMIT_BURST, burst);
	nft_part_u32(batch, NFTA_LIMIT_TYPE, type);
	nft_part_u32(batch, NFTA_LIMIT_FLAGS, flags);
}

void nft_load_meta(struct nft_batch *batch, uint32_t key, uint32_t to)
{
	struct nft_part part = nft_part_begin(batch, "meta");

	nft_part_u32(batch, NFTA_META_KEY, key);
	nft_part_u32(batch, NFTA_META_DREG, to);
	nft_part_end(batch, part);
}

void nft_load_payload(struct nft_batch *batch, uint32_t base, uint32_t offset, uint32_t length, uint32_t to)
{
	struct nft_part part = nft_part_begin(batch, "payload");

	nft_part_u32(batch, NFTA_PAYLOAD_DREG, to);
	nft_part_u32(batch, NFTA_PAYLOAD_BASE, base);
	nft_part_u32(batch, NFTA_PAYLOAD_OFFSET, offset);
	nft_part_u32(batch, NFTA_PAYLOAD_LEN, length);
	nft_part_end(batch, part);
}

void nft_load_immediate(struct nft_batch *batch, const void *value, size_t size)
{
	struct nft_part part = nft_part_begin(batch, "immediate");

	nft_part_u32(batch, NFTA_IMMEDIATE_DREG, NFT_REG_1);
	nft_part_value(batch, NFTA_IMMEDIATE_DATA, value, size);
	nft_part_end(batch, part);
}

void nft_compare(struct nft_batch *batch, uint32_t how, const void *value, size_t size)
{
	struct nft_part part = nft_part_begin(batch, "cmp");

	nft_part_u32(batch, NFTA_CMP_SREG, NFT_REG_1);
	nft_part_u32(batch, NFTA_CMP_OP, how);
	nft_part_value(batch, NFTA_CMP_DATA, value, size);
	nft_part_end(batch, part);
}

void nft_swap_to_big_endian(struct nft_batch *batch, uint32_t size)
{
	struct nft_part part = nft_part_begin(batch, "byteorder");

	nft_part_u32(batch, NFTA_BYTEORDER_SREG, NFT_REG_1);
	nft_part_u32(batch, NFTA_BYTEORDER_DREG, NFT_REG_1);
	nft_part_u32(batch, NFTA_BYTEORDER_OP, NFT_BYTEORDER_HTON);
	nft_part_u32(batch, NFTA_BYTEORDER_LEN, size);
	nft_part_u32(batch, NFTA_BYTEORDER_SIZE, size);
	nft_part_end(batch, part);
}

void nft_mask(struct nft_batch *batch, const void *bits, uint32_t size)
{
	static const uint8_t nothing[16];

	nft_mask_and_set(batch, bits, nothing, size);
}

void nft_mask_and_set(struct nft_batch *batch, const void *bits, const void *set, uint32_t size)
{
	struct nft_part part = nft_part_begin(batch, "bitwise");

	nft_part_u32(batch, NFTA_BITWISE_SREG, NFT_REG_1);
	nft_part_u32(batch, NFTA_BITWISE_DREG, NFT_REG_1);
	nft_part_u32(batch, NFTA_BITWISE_OP, NFT_BITWISE_BOOL);
	nft_part_u32(batch, NFTA_BITWISE_LEN, size);
	nft_part_value(batch, NFTA_BITWISE_MASK, bits, size);
	nft_part_value(batch, NFTA_BITWISE_XOR, set, size);
	nft_part_end(batch, part);
}

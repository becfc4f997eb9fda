/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The conditions of a rule on the packet's flow, as conntrack knows it, and on the rate of packets.
 */
#include "nft/expr.h"
#include "nft/part.h"

#include <endian.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>

void nft_load_ct(struct nft_batch *batch, uint32_t key, int direction)
{
	struct nft_part part = nft_part_begin(batch, "ct");

	nft_part_u32(batch, NFTA_CT_KEY, key);
	nft_part_u32(batch, NFTA_CT_DREG, NFT_REG_1);
	if (direction >= 0)
		mnl_attr_put_u8(batch->open, NFTA_CT_DIRECTION, (uint8_t)direction);
	nft_part_end(batch, part);
}

static void match_any_bit(struct nft_batch *batch, uint32_t bits)
{
	const uint32_t nothing = 0;

	nft_mask(batch, &bits, sizeof(bits));
	nft_compare(batch, NFT_CMP_NEQ, &nothing, sizeof(nothing));
}

/* ---- Which flow it belongs to ---- */

void match_ct_direction(struct nft_batch *batch, uint8_t direction)
{
	nft_load_ct(batch, NFT_CT_DIRECTION, -1);
	nft_compare(batch, NFT_CMP_EQ, &direction, sizeof(direction));
}

void match_ct_state(struct nft_batch *batch, uint32_t states)
{
	nft_load_ct(batch, NFT_CT_STATE, -1);
	match_any_bit(batch, states);
}

void match_ct_dnat(struct nft_batch *batch)
{
	nft_load_ct(batch, NFT_CT_STATUS, -1);
	match_any_bit(batch, IPS_DST_NAT);
}

void match_ct_confirmed(struct nft_batch *batch)
{
	nft_load_ct(batch, NFT_CT_STATUS, -1);
	match_any_bit(batch, IPS_CONFIRMED);
}

void match_ct_mark(struct nft_batch *batch, enum nft_sense sense, uint32_t mark)
{
	nft_load_ct(batch, NFT_CT_MARK, -1);
	nft_compare(batch, sense == NFT_IS ? NFT_CMP_EQ : NFT_CMP_NEQ, &mark, sizeof(mark));
}

void match_ct_original_saddr(struct nft_batch *batch, uint32_t ip)
{
	const uint32_t value = htobe32(ip);

	nft_load_ct(batch, NFT_CT_SRC_IP, IP_CT_DIR_ORIGINAL);
	nft_compare(batch, NFT_CMP_EQ, &value, sizeof(value));
}

void match_ct_original_dport(struct nft_batch *batch, uint16_t port)
{
	const uint16_t value = htobe16(port);

	nft_load_ct(batch, NFT_CT_PROTO_DST, IP_CT_DIR_ORIGINAL);
	nft_compare(batch, NFT_CMP_EQ, &value, sizeof(value));
}

void match_ct_original_daddr_in(struct nft_batch *batch, const struct nft_set *set)
{
	nft_load_ct(batch, NFT_CT_DST_IP, IP_CT_DIR_ORIGINAL);
	nft_look_up(batch, NFT_IS, set);
}

void match_ct_count_over(struct nft_batch *batch, uint32_t flows)
{
	struct nft_part part = nft_part_begin(batch, "connlimit");

	nft_part_u32(batch, NFTA_CONNLIMIT_COUNT, flows);
	nft_part_u32(batch, NFTA_CONNLIMIT_FLAGS, NFT_CONNLIMIT_F_INV);
	nft_part_end(batch, part);
}

/* ---- How much of it there is ---- */

static void match_limit(struct nft_batch *batch, enum nft_limit_type type, uint64_t per_second, uint32_t burst,
			uint32_t flags)
{
	struct nft_part part = nft_part_begin(batch, "limit");

	nft_part_limit(batch, type, per_second, burst, flags);
	nft_part_end(batch, part);
}

void match_length_over(struct nft_batch *batch, uint32_t bytes)
{
	const uint32_t value = htobe32(bytes);

	nft_load_meta(batch, NFT_META_LEN, NFT_REG_1);
	/* The kernel's comparison is that of bytes in their order. */
	nft_swap_to_big_endian(batch, sizeof(value));
	nft_compare(batch, NFT_CMP_GT, &value, sizeof(value));
}

void match_packets_over(struct nft_batch *batch, uint64_t per_second, uint32_t burst)
{
	match_limit(batch, NFT_LIMIT_PKTS, per_second, burst, NFT_LIMIT_F_INV);
}

void match_packets_under(struct nft_batch *batch, uint64_t per_second, uint32_t burst)
{
	match_limit(batch, NFT_LIMIT_PKTS, per_second, burst, 0);
}

void match_bytes_over(struct nft_batch *batch, uint64_t per_second, uint32_t burst)
{
	match_limit(batch, NFT_LIMIT_PKT_BYTES, per_second, burst, NFT_LIMIT_F_INV);
}

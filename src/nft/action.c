/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The actions of a rule on the packets that it matches.
 */
#include "nft/expr.h"
#include "nft/part.h"

#include <endian.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>

enum {
	TCP_OPTION_MSS = 2,
	IP_CLASS = 0, /* offsets in the header: of DSCP, behind version and length */
	IP_HOPS = 8,  /* with the protocol behind it */
	IP_HEADER_SUM = 10,
};

void act_count(struct nft_batch *batch, const char *counter)
{
	struct nft_part part = nft_part_begin(batch, "objref");

	nft_part_u32(batch, NFTA_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
	mnl_attr_put_strz(batch->open, NFTA_OBJREF_IMM_NAME, counter);
	nft_part_end(batch, part);
}

void act_mark(struct nft_batch *batch, uint32_t mark)
{
	nft_load_immediate(batch, &mark, sizeof(mark));
	struct nft_part part = nft_part_begin(batch, "meta");
	nft_part_u32(batch, NFTA_META_KEY, NFT_META_MARK);
	nft_part_u32(batch, NFTA_META_SREG, NFT_REG_1);
	nft_part_end(batch, part);
}

void act_mark_flow(struct nft_batch *batch, uint32_t mark)
{
	nft_load_immediate(batch, &mark, sizeof(mark));
	struct nft_part part = nft_part_begin(batch, "ct");
	nft_part_u32(batch, NFTA_CT_KEY, NFT_CT_MARK);
	nft_part_u32(batch, NFTA_CT_SREG, NFT_REG_1);
	nft_part_end(batch, part);
}

/* The action of each element of SET on the packets that renew it. */
static void act_put_element_expression(struct nft_batch *batch, const struct nft_set *set)
{
	struct nlattr *nest, *data;

	if (!set->count && !set->packets_a_second)
		return;
	nest = mnl_attr_nest_start(batch->open, NFTA_DYNSET_EXPR);
	mnl_attr_put_strz(batch->open, NFTA_EXPR_NAME, set->count ? "counter" : "limit");
	data = mnl_attr_nest_start(batch->open, NFTA_EXPR_DATA);
	if (!set->count)
		nft_part_limit(batch, NFT_LIMIT_PKTS, set->packets_a_second, set->packets_a_second, NFT_LIMIT_F_INV);
	mnl_attr_nest_end(batch->open, data);
	mnl_attr_nest_end(batch->open, nest);
}

static void act_record(struct nft_batch *batch, const struct nft_set *set, uint32_t address)
{
	bool renews = set->count || set->packets_a_second;

	nft_load_key(batch, set->key, address);
	struct nft_part part = nft_part_begin(batch, "dynset");
	mnl_attr_put_strz(batch->open, NFTA_DYNSET_SET_NAME, set->name);
	/* A count starts again once its element is gone, so each packet renews the element. */
	nft_part_u32(batch, NFTA_DYNSET_OP, renews ? NFT_DYNSET_OP_UPDATE : NFT_DYNSET_OP_ADD);
	nft_part_u32(batch, NFTA_DYNSET_SREG_KEY, NFT_REG_1);
	nft_part_u64(batch, NFTA_DYNSET_TIMEOUT, 0); /* the set's own */
	act_put_element_expression(batch, set);
	nft_part_end(batch, part);
}

void act_record_destination(struct nft_batch *batch, const struct nft_set *set)
{
	act_record(batch, set, NFT_IP_DESTINATION);
}

void act_record_source(struct nft_batch *batch, const struct nft_set *set)
{
	act_record(batch, set, NFT_IP_SOURCE);
}

/* Writes register 1 to the header of IPv4. FLAGS: what else has a checksum over it, NFT_PAYLOAD_L4CSUM_*. */
static void act_write_ipv4(struct nft_batch *batch, uint32_t offset, uint32_t length, uint32_t flags)
{
	struct nft_part part = nft_part_begin(batch, "payload");

	nft_part_u32(batch, NFTA_PAYLOAD_SREG, NFT_REG_1);
	nft_part_u32(batch, NFTA_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER);
	nft_part_u32(batch, NFTA_PAYLOAD_OFFSET, offset);
	nft_part_u32(batch, NFTA_PAYLOAD_LEN, length);
	nft_part_u32(batch, NFTA_PAYLOAD_CSUM_TYPE, NFT_PAYLOAD_CSUM_INET);
	nft_part_u32(batch, NFTA_PAYLOAD_CSUM_OFFSET, IP_HEADER_SUM);
	nft_part_u32(batch, NFTA_PAYLOAD_CSUM_FLAGS, flags);
	nft_part_end(batch, part);
}

void act_set_saddr_of_flow(struct nft_batch *batch, uint8_t direction)
{
	nft_state_ipv4(batch);
	nft_load_ct(batch, NFT_CT_SRC_IP, direction);
	/* TCP and UDP include the addresses in their checksums, and nft(8) sets this for any packet. */
	act_write_ipv4(batch, NFT_IP_SOURCE, sizeof(uint32_t), NFT_PAYLOAD_L4CSUM_PSEUDOHDR);
}

/* Of two bytes at OFFSET, where the checksum of the header needs an even one, the bits of KEEP stay and those of SET are set. */
static void act_set_ipv4_bits(struct nft_batch *batch, uint32_t offset, uint16_t keep, uint16_t set)
{
	const uint16_t mask = htobe16(keep), bits = htobe16(set);

	nft_state_ipv4(batch);
	nft_load_payload(batch, NFT_PAYLOAD_NETWORK_HEADER, offset, sizeof(mask), NFT_REG_1);
	nft_mask_and_set(batch, &mask, &bits, sizeof(mask));
	act_write_ipv4(batch, offset, sizeof(mask), 0);
}

void act_set_dscp(struct nft_batch *batch, uint8_t dscp)
{
	act_set_ipv4_bits(batch, IP_CLASS, 0xff03, (uint16_t)(dscp << 2));
}

void act_set_ttl(struct nft_batch *batch, uint8_t ttl)
{
	act_set_ipv4_bits(batch, IP_HOPS, 0x00ff, (uint16_t)(ttl << 8));
}

void act_clamp_mss(struct nft_batch *batch)
{
	nft_state_tcp(batch);
	struct nft_part part = nft_part_begin(batch, "rt");
	nft_part_u32(batch, NFTA_RT_KEY, NFT_RT_TCPMSS);
	nft_part_u32(batch, NFTA_RT_DREG, NFT_REG_1);
	nft_part_end(batch, part);

	nft_swap_to_big_endian(batch, sizeof(uint16_t));

	/* The kernel only ever lowers an MSS. */
	part = nft_part_begin(batch, "exthdr");
	nft_part_u32(batch, NFTA_EXTHDR_SREG, NFT_REG_1);
	mnl_attr_put_u8(batch->open, NFTA_EXTHDR_TYPE, TCP_OPTION_MSS);
	nft_part_u32(batch, NFTA_EXTHDR_OFFSET, 2);
	nft_part_u32(batch, NFTA_EXTHDR_LEN, 2);
	nft_part_u32(batch, NFTA_EXTHDR_OP, NFT_EXTHDR_OP_TCPOPT);
	nft_part_end(batch, part);
}

/* The address is in register 1; the port, if HAS_PORT, in the next part of it. */
static void act_translate(struct nft_batch *batch, enum nft_nat_types type, bool has_port)
{
	struct nft_part part = nft_part_begin(batch, "nat");

	nft_part_u32(batch, NFTA_NAT_TYPE, type);
	nft_part_u32(batch, NFTA_NAT_FAMILY, NFPROTO_IPV4);
	/* The values that the kernel would fill in are stated, so that a dump of the rule equals the rule. */
	nft_part_u32(batch, NFTA_NAT_REG_ADDR_MIN, NFT_REG_1);
	nft_part_u32(batch, NFTA_NAT_REG_ADDR_MAX, NFT_REG_1);
	if (has_port) {
		nft_part_u32(batch, NFTA_NAT_REG_PROTO_MIN, NFT_REG32_01);
		nft_part_u32(batch, NFTA_NAT_REG_PROTO_MAX, NFT_REG32_01);
	}
	nft_part_u32(batch, NFTA_NAT_FLAGS, NF_NAT_RANGE_MAP_IPS | (has_port ? NF_NAT_RANGE_PROTO_SPECIFIED : 0));
	nft_part_end(batch, part);
}

static void act_translate_to(struct nft_batch *batch, enum nft_nat_types type, uint32_t ip)
{
	const uint32_t value = htobe32(ip);

	nft_state_ipv4(batch);
	nft_load_immediate(batch, &value, sizeof(value));
	act_translate(batch, type, false);
}

void act_dnat(struct nft_batch *batch, uint32_t ip)
{
	act_translate_to(batch, NFT_NAT_DNAT, ip);
}

void act_snat(struct nft_batch *batch, uint32_t ip)
{
	act_translate_to(batch, NFT_NAT_SNAT, ip);
}

void act_dnat_by_destination(struct nft_batch *batch, const struct nft_set *map)
{
	nft_state_ipv4(batch);
	match_destination_in(batch, NFT_IS, map);
	act_translate(batch, NFT_NAT_DNAT, true);
}

void act_masquerade(struct nft_batch *batch)
{
	nft_part_end(batch, nft_part_begin(batch, "masq"));
}

void act_redirect(struct nft_batch *batch)
{
	nft_part_end(batch, nft_part_begin(batch, "redir"));
}

void act_redirect_to(struct nft_batch *batch, uint16_t port)
{
	const uint16_t value = htobe16(port);

	nft_load_immediate(batch, &value, sizeof(value));
	struct nft_part part = nft_part_begin(batch, "redir");
	/* As in act_translate(), what the kernel would fill in is stated. */
	nft_part_u32(batch, NFTA_REDIR_REG_PROTO_MIN, NFT_REG_1);
	nft_part_u32(batch, NFTA_REDIR_REG_PROTO_MAX, NFT_REG_1);
	nft_part_u32(batch, NFTA_REDIR_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED);
	nft_part_end(batch, part);
}

static void act_reject(struct nft_batch *batch, uint32_t type, uint8_t code)
{
	struct nft_part part = nft_part_begin(batch, "reject");

	nft_part_u32(batch, NFTA_REJECT_TYPE, type);
	mnl_attr_put_u8(batch->open, NFTA_REJECT_ICMP_CODE, code);
	nft_part_end(batch, part);
}

void act_reject_with_reset(struct nft_batch *batch)
{
	nft_state_tcp(batch);
	act_reject(batch, NFT_REJECT_TCP_RST, 0);
}

void act_reject_as_prohibited(struct nft_batch *batch)
{
	act_reject(batch, NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_ADMIN_PROHIBITED);
}

void act_reject_as_unreachable(struct nft_batch *batch)
{
	act_reject(batch, NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_HOST_UNREACH);
}

void act_log(struct nft_batch *batch, const char *prefix, uint16_t group, uint32_t bytes)
{
	struct nft_part part = nft_part_begin(batch, "log");

	mnl_attr_put_u16(batch->open, NFTA_LOG_GROUP, htobe16(group));
	mnl_attr_put_strz(batch->open, NFTA_LOG_PREFIX, prefix);
	nft_part_u32(batch, NFTA_LOG_SNAPLEN, bytes);
	/* The kernel else waits for a hundred packets, or for a second. */
	mnl_attr_put_u16(batch->open, NFTA_LOG_QTHRESHOLD, htobe16(1));
	nft_part_end(batch, part);
}

/* CHAIN: NULL unless CODE goes to one. */
static void verdict_put(struct nft_batch *batch, int code, const char *chain)
{
	struct nft_part part = nft_part_begin(batch, "immediate");

	nft_part_u32(batch, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	struct nlattr *data = mnl_attr_nest_start(batch->open, NFTA_IMMEDIATE_DATA);
	struct nlattr *what = mnl_attr_nest_start(batch->open, NFTA_DATA_VERDICT);
	nft_part_u32(batch, NFTA_VERDICT_CODE, (uint32_t)code);
	if (chain)
		mnl_attr_put_strz(batch->open, NFTA_VERDICT_CHAIN, chain);
	mnl_attr_nest_end(batch->open, what);
	mnl_attr_nest_end(batch->open, data);
	nft_part_end(batch, part);
}

void verdict_accept(struct nft_batch *batch)
{
	verdict_put(batch, NF_ACCEPT, NULL);
}

void verdict_drop(struct nft_batch *batch)
{
	verdict_put(batch, NF_DROP, NULL);
}

void verdict_notrack(struct nft_batch *batch)
{
	nft_part_end(batch, nft_part_begin(batch, "notrack"));
}

void verdict_return(struct nft_batch *batch)
{
	verdict_put(batch, NFT_RETURN, NULL);
}

void verdict_jump(struct nft_batch *batch, const char *chain)
{
	verdict_put(batch, NFT_JUMP, chain);
}

void verdict_goto(struct nft_batch *batch, const char *chain)
{
	verdict_put(batch, NFT_GOTO, chain);
}

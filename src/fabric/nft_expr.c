/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A rule is a list of expressions that load registers, compare them and act. Values are compared as they lie in the packet; what
 * the kernel computes itself (interface groups, conntrack states, marks) is in the machine's order. Register 1 holds up to 16
 * bytes; the fields of a concatenation go to its four parts, of which the first has the same number, 1.
 */
#include "fabric/nft_expr.h"

#include <endian.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter/nf_nat.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum {
	RULE_ROOM = 4096,
	/* What a rule has stated that it is about. */
	STATED_ETHER = 1,
	STATED_IPV4 = 2,
	STATED_ARP = 4,
	STATED_TCP = 8,
	/* Offsets in headers. */
	ETHER_DESTINATION = 0,
	ETHER_SOURCE = 6,
	IP_SOURCE = 12,
	IP_DESTINATION = 16,
	ARP_SENDER = 8, /* hardware address, then the protocol's */
	ARP_SENDER_IP = 14,
	ARP_TARGET_IP = 24,
	PORT_DESTINATION = 2,
	TCP_FLAGS = 13,
	TCP_OPTION_MSS = 2,
	INTERFACE_NAME = 16, /* IFNAMSIZ */
};

bool nft_rule_open(struct nft_batch *batch, const char *chain)
{
	struct nlmsghdr *message = nft_batch_open(batch, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, RULE_ROOM);

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

struct nest {
	struct nlattr *item, *data;
};

static struct nest begin(struct nft_batch *batch, const char *name)
{
	struct nest nest = { .item = mnl_attr_nest_start(batch->open, NFTA_LIST_ELEM) };

	mnl_attr_put_strz(batch->open, NFTA_EXPR_NAME, name);
	nest.data = mnl_attr_nest_start(batch->open, NFTA_EXPR_DATA);
	return nest;
}

static void end(struct nft_batch *batch, struct nest nest)
{
	mnl_attr_nest_end(batch->open, nest.data);
	mnl_attr_nest_end(batch->open, nest.item);
}

static void put_u32(struct nft_batch *batch, uint16_t type, uint32_t value)
{
	mnl_attr_put_u32(batch->open, type, htobe32(value));
}

static void put_u64(struct nft_batch *batch, uint16_t type, uint64_t value)
{
	mnl_attr_put_u64(batch->open, type, htobe64(value));
}

static void put_value(struct nft_batch *batch, uint16_t type, const void *value, size_t size)
{
	struct nlattr *nest = mnl_attr_nest_start(batch->open, type);

	mnl_attr_put(batch->open, NFTA_DATA_VALUE, size, value);
	mnl_attr_nest_end(batch->open, nest);
}

static void load_meta(struct nft_batch *batch, uint32_t key, uint32_t to)
{
	struct nest nest = begin(batch, "meta");

	put_u32(batch, NFTA_META_KEY, key);
	put_u32(batch, NFTA_META_DREG, to);
	end(batch, nest);
}

static void load_payload(struct nft_batch *batch, uint32_t base, uint32_t offset, uint32_t length, uint32_t to)
{
	struct nest nest = begin(batch, "payload");

	put_u32(batch, NFTA_PAYLOAD_DREG, to);
	put_u32(batch, NFTA_PAYLOAD_BASE, base);
	put_u32(batch, NFTA_PAYLOAD_OFFSET, offset);
	put_u32(batch, NFTA_PAYLOAD_LEN, length);
	end(batch, nest);
}

/* DIRECTION: IP_CT_DIR_*, or -1. */
static void load_ct(struct nft_batch *batch, uint32_t key, int direction)
{
	struct nest nest = begin(batch, "ct");

	put_u32(batch, NFTA_CT_KEY, key);
	put_u32(batch, NFTA_CT_DREG, NFT_REG_1);
	if (direction >= 0)
		mnl_attr_put_u8(batch->open, NFTA_CT_DIRECTION, (uint8_t)direction);
	end(batch, nest);
}

static void load_immediate(struct nft_batch *batch, const void *value, size_t size)
{
	struct nest nest = begin(batch, "immediate");

	put_u32(batch, NFTA_IMMEDIATE_DREG, NFT_REG_1);
	put_value(batch, NFTA_IMMEDIATE_DATA, value, size);
	end(batch, nest);
}

static void compare(struct nft_batch *batch, uint32_t operator, const void * value, size_t size)
{
	struct nest nest = begin(batch, "cmp");

	put_u32(batch, NFTA_CMP_SREG, NFT_REG_1);
	put_u32(batch, NFTA_CMP_OP, operator);
	put_value(batch, NFTA_CMP_DATA, value, size);
	end(batch, nest);
}

static uint32_t operator_of(enum nft_sense sense)
{
	return sense == NFT_IS ? NFT_CMP_EQ : NFT_CMP_NEQ;
}

static void mask(struct nft_batch *batch, const void *bits, uint32_t size)
{
	static const uint8_t nothing[16];
	struct nest nest = begin(batch, "bitwise");

	put_u32(batch, NFTA_BITWISE_SREG, NFT_REG_1);
	put_u32(batch, NFTA_BITWISE_DREG, NFT_REG_1);
	put_u32(batch, NFTA_BITWISE_OP, NFT_BITWISE_BOOL);
	put_u32(batch, NFTA_BITWISE_LEN, size);
	put_value(batch, NFTA_BITWISE_MASK, bits, size);
	put_value(batch, NFTA_BITWISE_XOR, nothing, size);
	end(batch, nest);
}

static void match_any_bit(struct nft_batch *batch, uint32_t bits)
{
	const uint32_t nothing = 0;

	mask(batch, &bits, sizeof(bits));
	compare(batch, NFT_CMP_NEQ, &nothing, sizeof(nothing));
}

/* ---- What a rule relies on ---- */

static void state_ether(struct nft_batch *batch)
{
	const uint16_t type = ARPHRD_ETHER;

	if (batch->stated & STATED_ETHER)
		return;
	batch->stated |= STATED_ETHER;
	load_meta(batch, NFT_META_IIFTYPE, NFT_REG_1);
	compare(batch, NFT_CMP_EQ, &type, sizeof(type));
}

static void state_ipv4(struct nft_batch *batch)
{
	if (batch->stated & STATED_IPV4)
		return;
	batch->stated |= STATED_IPV4;
	if (batch->family == NFPROTO_INET)
		match_ipv4(batch, NFT_IS);
	else
		match_ether_type(batch, NFT_IS, ETH_P_IP);
}

static void state_arp(struct nft_batch *batch)
{
	if (batch->stated & STATED_ARP)
		return;
	batch->stated |= STATED_ARP;
	match_ether_type(batch, NFT_IS, ETH_P_ARP);
}

static void state_tcp(struct nft_batch *batch)
{
	if (batch->stated & STATED_TCP)
		return;
	batch->stated |= STATED_TCP;
	match_l4proto(batch, NFT_IS, IPPROTO_TCP);
}

/* ---- Where a packet comes from and goes to ---- */

static void match_name(struct nft_batch *batch, uint32_t key, const char *name)
{
	char value[INTERFACE_NAME] = "";

	/* Compared whole: a shorter value would match all names that begin so. */
	memcpy(value, name, strnlen(name, sizeof(value) - 1));
	load_meta(batch, key, NFT_REG_1);
	compare(batch, NFT_CMP_EQ, value, sizeof(value));
}

void match_iifname(struct nft_batch *batch, const char *name)
{
	match_name(batch, NFT_META_IIFNAME, name);
}

void match_oifname(struct nft_batch *batch, const char *name)
{
	match_name(batch, NFT_META_OIFNAME, name);
}

void match_iifgroup(struct nft_batch *batch, enum nft_sense sense, uint32_t group)
{
	load_meta(batch, NFT_META_IIFGROUP, NFT_REG_1);
	compare(batch, operator_of(sense), &group, sizeof(group));
}

void match_oifgroup(struct nft_batch *batch, enum nft_sense sense, uint32_t group)
{
	load_meta(batch, NFT_META_OIFGROUP, NFT_REG_1);
	compare(batch, operator_of(sense), &group, sizeof(group));
}

static void load_fib(struct nft_batch *batch, uint32_t result, uint32_t flags)
{
	struct nest nest = begin(batch, "fib");

	put_u32(batch, NFTA_FIB_FLAGS, flags);
	put_u32(batch, NFTA_FIB_RESULT, result);
	put_u32(batch, NFTA_FIB_DREG, NFT_REG_1);
	end(batch, nest);
}

void match_saddr_not_routed_back(struct nft_batch *batch)
{
	/* Whether the kernel found an interface; compared in the width of an interface's number, as nft(8) lists it. */
	const uint32_t missing = 0;

	load_fib(batch, NFT_FIB_RESULT_OIF, NFTA_FIB_F_SADDR | NFTA_FIB_F_IIF | NFTA_FIB_F_PRESENT);
	compare(batch, NFT_CMP_EQ, &missing, sizeof(missing));
}

void match_daddr_local(struct nft_batch *batch, enum nft_sense sense)
{
	const uint32_t local = 2; /* RTN_LOCAL */

	load_fib(batch, NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_DADDR);
	compare(batch, operator_of(sense), &local, sizeof(local));
}

/* ---- What it is ---- */

void match_ipv4(struct nft_batch *batch, enum nft_sense sense)
{
	const uint8_t family = NFPROTO_IPV4;

	if (sense == NFT_IS)
		batch->stated |= STATED_IPV4;
	load_meta(batch, NFT_META_NFPROTO, NFT_REG_1);
	compare(batch, operator_of(sense), &family, sizeof(family));
}

void match_ether_type(struct nft_batch *batch, enum nft_sense sense, uint16_t type)
{
	const uint16_t value = htobe16(type);

	load_meta(batch, NFT_META_PROTOCOL, NFT_REG_1);
	compare(batch, operator_of(sense), &value, sizeof(value));
}

static void match_mac(struct nft_batch *batch, enum nft_sense sense, uint32_t offset, const struct mac *mac)
{
	state_ether(batch);
	load_payload(batch, NFT_PAYLOAD_LL_HEADER, offset, sizeof(mac->octets), NFT_REG_1);
	compare(batch, operator_of(sense), mac->octets, sizeof(mac->octets));
}

void match_ether_saddr(struct nft_batch *batch, enum nft_sense sense, const struct mac *mac)
{
	match_mac(batch, sense, ETHER_SOURCE, mac);
}

void match_ether_daddr(struct nft_batch *batch, enum nft_sense sense, const struct mac *mac)
{
	match_mac(batch, sense, ETHER_DESTINATION, mac);
}

static void match_network_field(struct nft_batch *batch, enum nft_sense sense, uint32_t offset, uint32_t ip)
{
	const uint32_t value = htobe32(ip);

	load_payload(batch, NFT_PAYLOAD_NETWORK_HEADER, offset, sizeof(value), NFT_REG_1);
	compare(batch, operator_of(sense), &value, sizeof(value));
}

void match_arp_from(struct nft_batch *batch, const struct mac *mac, uint32_t ip)
{
	/* Neighbours in the header, and as nft(8) would write them: one comparison. */
	struct {
		struct mac mac;
		uint32_t ip;
	} __attribute__((packed)) value = { *mac, htobe32(ip) };

	state_arp(batch);
	load_payload(batch, NFT_PAYLOAD_NETWORK_HEADER, ARP_SENDER, sizeof(value), NFT_REG_1);
	compare(batch, NFT_CMP_EQ, &value, sizeof(value));
}

void match_arp_sender(struct nft_batch *batch, uint32_t ip)
{
	state_arp(batch);
	match_network_field(batch, NFT_IS, ARP_SENDER_IP, ip);
}

void match_arp_target(struct nft_batch *batch, uint32_t ip)
{
	state_arp(batch);
	match_network_field(batch, NFT_IS, ARP_TARGET_IP, ip);
}

void match_ip_saddr(struct nft_batch *batch, enum nft_sense sense, uint32_t ip)
{
	state_ipv4(batch);
	match_network_field(batch, sense, IP_SOURCE, ip);
}

void match_ip_daddr(struct nft_batch *batch, enum nft_sense sense, uint32_t ip)
{
	state_ipv4(batch);
	match_network_field(batch, sense, IP_DESTINATION, ip);
}

static void match_network(struct nft_batch *batch, enum nft_sense sense, uint32_t offset, const struct cidr4 *network)
{
	const uint32_t first = htobe32(cidr4_first(network)), bits = htobe32(cidr4_mask(network));
	/* nft(8) lists a network at the border of a byte from a shorter load, others from a mask. */
	bool whole_bytes = network->length && network->length % 8 == 0;
	uint32_t length = whole_bytes ? network->length / 8u : (uint32_t)sizeof(first);

	state_ipv4(batch);
	load_payload(batch, NFT_PAYLOAD_NETWORK_HEADER, offset, length, NFT_REG_1);
	if (!whole_bytes)
		mask(batch, &bits, sizeof(bits));
	compare(batch, operator_of(sense), &first, length);
}

void match_ip_saddr_in(struct nft_batch *batch, enum nft_sense sense, const struct cidr4 *network)
{
	match_network(batch, sense, IP_SOURCE, network);
}

void match_ip_daddr_in(struct nft_batch *batch, enum nft_sense sense, const struct cidr4 *network)
{
	match_network(batch, sense, IP_DESTINATION, network);
}

void match_l4proto(struct nft_batch *batch, enum nft_sense sense, uint8_t proto)
{
	load_meta(batch, NFT_META_L4PROTO, NFT_REG_1);
	compare(batch, operator_of(sense), &proto, sizeof(proto));
}

void match_tcp_syn(struct nft_batch *batch)
{
	const uint8_t syn = 0x02, syn_rst = 0x06;

	state_tcp(batch);
	load_payload(batch, NFT_PAYLOAD_TRANSPORT_HEADER, TCP_FLAGS, sizeof(syn), NFT_REG_1);
	mask(batch, &syn_rst, sizeof(syn_rst));
	compare(batch, NFT_CMP_EQ, &syn, sizeof(syn));
}

/* Loads what KEY is made of; the address is at OFFSET of the network header, the port is the destination's. */
static void load_key(struct nft_batch *batch, unsigned key, uint32_t offset)
{
	unsigned field = 0;
#define NEXT_REGISTER (field++ ? NFT_REG32_00 + field - 1 : NFT_REG_1)

	if (key & NFT_KEY_ADDRESS) {
		state_ipv4(batch);
		load_payload(batch, NFT_PAYLOAD_NETWORK_HEADER, offset, 4, NEXT_REGISTER);
	}
	if (key & NFT_KEY_PROTO)
		load_meta(batch, NFT_META_L4PROTO, NEXT_REGISTER);
	if (key & NFT_KEY_PORT)
		load_payload(batch, NFT_PAYLOAD_TRANSPORT_HEADER, PORT_DESTINATION, 2, NEXT_REGISTER);
	if (key & NFT_KEY_MARK)
		load_meta(batch, NFT_META_MARK, NEXT_REGISTER);
#undef NEXT_REGISTER
}

static void look_up(struct nft_batch *batch, enum nft_sense sense, const struct nft_set *set)
{
	struct nest nest = begin(batch, "lookup");

	mnl_attr_put_strz(batch->open, NFTA_LOOKUP_SET, set->name);
	put_u32(batch, NFTA_LOOKUP_SREG, NFT_REG_1);
	if (set->map)
		put_u32(batch, NFTA_LOOKUP_DREG, NFT_REG_1);
	put_u32(batch, NFTA_LOOKUP_FLAGS, sense == NFT_IS_NOT ? NFT_LOOKUP_F_INV : 0);
	end(batch, nest);
}

void match_destination_in(struct nft_batch *batch, enum nft_sense sense, const struct nft_set *set)
{
	load_key(batch, set->key, IP_DESTINATION);
	look_up(batch, sense, set);
}

void match_source_in(struct nft_batch *batch, enum nft_sense sense, const struct nft_set *set)
{
	load_key(batch, set->key, IP_SOURCE);
	look_up(batch, sense, set);
}

/* ---- Which flow it belongs to ---- */

void match_ct_direction(struct nft_batch *batch, uint8_t direction)
{
	load_ct(batch, NFT_CT_DIRECTION, -1);
	compare(batch, NFT_CMP_EQ, &direction, sizeof(direction));
}

void match_ct_state(struct nft_batch *batch, uint32_t states)
{
	load_ct(batch, NFT_CT_STATE, -1);
	match_any_bit(batch, states);
}

void match_ct_dnat(struct nft_batch *batch)
{
	load_ct(batch, NFT_CT_STATUS, -1);
	match_any_bit(batch, IPS_DST_NAT);
}

void match_ct_original_daddr_in(struct nft_batch *batch, const struct nft_set *set)
{
	load_ct(batch, NFT_CT_DST_IP, IP_CT_DIR_ORIGINAL);
	look_up(batch, NFT_IS, set);
}

void match_ct_count_over(struct nft_batch *batch, uint32_t flows)
{
	struct nest nest = begin(batch, "connlimit");

	put_u32(batch, NFTA_CONNLIMIT_COUNT, flows);
	put_u32(batch, NFTA_CONNLIMIT_FLAGS, NFT_CONNLIMIT_F_INV);
	end(batch, nest);
}

/* ---- How much of it there is ---- */

static void limit(struct nft_batch *batch, enum nft_limit_type type, uint64_t per_second, uint32_t burst,
		  uint32_t flags)
{
	struct nest nest = begin(batch, "limit");

	put_u64(batch, NFTA_LIMIT_RATE, per_second);
	put_u64(batch, NFTA_LIMIT_UNIT, 1);
	put_u32(batch, NFTA_LIMIT_BURST, burst);
	put_u32(batch, NFTA_LIMIT_TYPE, type);
	put_u32(batch, NFTA_LIMIT_FLAGS, flags);
	end(batch, nest);
}

void match_packets_over(struct nft_batch *batch, uint64_t per_second, uint32_t burst)
{
	limit(batch, NFT_LIMIT_PKTS, per_second, burst, NFT_LIMIT_F_INV);
}

void match_packets_under(struct nft_batch *batch, uint64_t per_second, uint32_t burst)
{
	limit(batch, NFT_LIMIT_PKTS, per_second, burst, 0);
}

void match_bytes_over(struct nft_batch *batch, uint64_t per_second, uint32_t burst)
{
	limit(batch, NFT_LIMIT_PKT_BYTES, per_second, burst, NFT_LIMIT_F_INV);
}

/* ---- What is done ---- */

void count_as(struct nft_batch *batch, const char *counter)
{
	struct nest nest = begin(batch, "objref");

	put_u32(batch, NFTA_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
	mnl_attr_put_strz(batch->open, NFTA_OBJREF_IMM_NAME, counter);
	end(batch, nest);
}

void set_mark(struct nft_batch *batch, uint32_t mark)
{
	load_immediate(batch, &mark, sizeof(mark));
	struct nest nest = begin(batch, "meta");
	put_u32(batch, NFTA_META_KEY, NFT_META_MARK);
	put_u32(batch, NFTA_META_SREG, NFT_REG_1);
	end(batch, nest);
}

void record_destination(struct nft_batch *batch, const struct nft_set *set)
{
	load_key(batch, set->key, IP_DESTINATION);
	struct nest nest = begin(batch, "dynset");
	mnl_attr_put_strz(batch->open, NFTA_DYNSET_SET_NAME, set->name);
	put_u32(batch, NFTA_DYNSET_OP, NFT_DYNSET_OP_ADD);
	put_u32(batch, NFTA_DYNSET_SREG_KEY, NFT_REG_1);
	put_u64(batch, NFTA_DYNSET_TIMEOUT, 0); /* the set's own */
	end(batch, nest);
}

void clamp_mss(struct nft_batch *batch)
{
	state_tcp(batch);
	struct nest nest = begin(batch, "rt");
	put_u32(batch, NFTA_RT_KEY, NFT_RT_TCPMSS);
	put_u32(batch, NFTA_RT_DREG, NFT_REG_1);
	end(batch, nest);

	nest = begin(batch, "byteorder");
	put_u32(batch, NFTA_BYTEORDER_SREG, NFT_REG_1);
	put_u32(batch, NFTA_BYTEORDER_DREG, NFT_REG_1);
	put_u32(batch, NFTA_BYTEORDER_OP, NFT_BYTEORDER_HTON);
	put_u32(batch, NFTA_BYTEORDER_LEN, 2);
	put_u32(batch, NFTA_BYTEORDER_SIZE, 2);
	end(batch, nest);

	/* The kernel only ever lowers an MSS. */
	nest = begin(batch, "exthdr");
	put_u32(batch, NFTA_EXTHDR_SREG, NFT_REG_1);
	mnl_attr_put_u8(batch->open, NFTA_EXTHDR_TYPE, TCP_OPTION_MSS);
	put_u32(batch, NFTA_EXTHDR_OFFSET, 2);
	put_u32(batch, NFTA_EXTHDR_LEN, 2);
	put_u32(batch, NFTA_EXTHDR_OP, NFT_EXTHDR_OP_TCPOPT);
	end(batch, nest);
}

/* The address is in register 1; the port, if HAS_PORT, in the next part of it. */
static void translate(struct nft_batch *batch, enum nft_nat_types type, bool has_port)
{
	struct nest nest = begin(batch, "nat");

	put_u32(batch, NFTA_NAT_TYPE, type);
	put_u32(batch, NFTA_NAT_FAMILY, NFPROTO_IPV4);
	/* What the kernel would add is said, so that a dump of the rule is equal to it. */
	put_u32(batch, NFTA_NAT_REG_ADDR_MIN, NFT_REG_1);
	put_u32(batch, NFTA_NAT_REG_ADDR_MAX, NFT_REG_1);
	if (has_port) {
		put_u32(batch, NFTA_NAT_REG_PROTO_MIN, NFT_REG32_01);
		put_u32(batch, NFTA_NAT_REG_PROTO_MAX, NFT_REG32_01);
	}
	put_u32(batch, NFTA_NAT_FLAGS, NF_NAT_RANGE_MAP_IPS | (has_port ? NF_NAT_RANGE_PROTO_SPECIFIED : 0));
	end(batch, nest);
}

static void translate_to(struct nft_batch *batch, enum nft_nat_types type, uint32_t ip)
{
	const uint32_t value = htobe32(ip);

	state_ipv4(batch);
	load_immediate(batch, &value, sizeof(value));
	translate(batch, type, false);
}

void dnat_to(struct nft_batch *batch, uint32_t ip)
{
	translate_to(batch, NFT_NAT_DNAT, ip);
}

void snat_to(struct nft_batch *batch, uint32_t ip)
{
	translate_to(batch, NFT_NAT_SNAT, ip);
}

void dnat_by_destination(struct nft_batch *batch, const struct nft_set *map)
{
	state_ipv4(batch);
	match_destination_in(batch, NFT_IS, map);
	translate(batch, NFT_NAT_DNAT, true);
}

void masquerade(struct nft_batch *batch)
{
	end(batch, begin(batch, "masq"));
}

void redirect(struct nft_batch *batch)
{
	end(batch, begin(batch, "redir"));
}

static void reject(struct nft_batch *batch, uint32_t type, uint8_t code)
{
	struct nest nest = begin(batch, "reject");

	put_u32(batch, NFTA_REJECT_TYPE, type);
	mnl_attr_put_u8(batch->open, NFTA_REJECT_ICMP_CODE, code);
	end(batch, nest);
}

void reject_with_reset(struct nft_batch *batch)
{
	state_tcp(batch);
	reject(batch, NFT_REJECT_TCP_RST, 0);
}

void reject_as_prohibited(struct nft_batch *batch)
{
	reject(batch, NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_ADMIN_PROHIBITED);
}

/* CHAIN: NULL unless CODE goes to one. */
static void verdict(struct nft_batch *batch, int code, const char *chain)
{
	struct nest nest = begin(batch, "immediate");

	put_u32(batch, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	struct nlattr *data = mnl_attr_nest_start(batch->open, NFTA_IMMEDIATE_DATA);
	struct nlattr *what = mnl_attr_nest_start(batch->open, NFTA_DATA_VERDICT);
	put_u32(batch, NFTA_VERDICT_CODE, (uint32_t)code);
	if (chain)
		mnl_attr_put_strz(batch->open, NFTA_VERDICT_CHAIN, chain);
	mnl_attr_nest_end(batch->open, what);
	mnl_attr_nest_end(batch->open, data);
	end(batch, nest);
}

void verdict_accept(struct nft_batch *batch)
{
	verdict(batch, NF_ACCEPT, NULL);
}

void verdict_drop(struct nft_batch *batch)
{
	verdict(batch, NF_DROP, NULL);
}

void verdict_jump(struct nft_batch *batch, const char *chain)
{
	verdict(batch, NFT_JUMP, chain);
}

void verdict_goto(struct nft_batch *batch, const char *chain)
{
	verdict(batch, NFT_GOTO, chain);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The conditions of a rule: a load and a comparison each. A condition on a packet's header first states the protocol, see
 * part.h.
 */
#include "nft/expr.h"
#include "nft/part.h"

#include <endian.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/netfilter.h>
#include <netinet/in.h>
#include <string.h>

enum {
	/* Offsets in headers. */
	ETHER_DESTINATION = 0,
	ETHER_SOURCE = 6,
	ETHER_TYPE = 12,
	ARP_SENDER = 8, /* hardware address, then the protocol's */
	ARP_SENDER_IP = 14,
	ARP_TARGET_IP = 24,
	TCP_FLAGS = 13,
	TCP_FIN = 0x01, /* in them */
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_PSH = 0x08,
	TCP_ACK = 0x10,
	ICMP_QUOTED = 8,      /* the packet that an error is about */
	PORT_DESTINATION = 2, /* TCP's and UDP's */
	INTERFACE_NAME = 16,  /* IFNAMSIZ */
	/* The protocols that a rule has stated. */
	STATED_ETHER = 1,
	STATED_IPV4 = 2,
	STATED_ARP = 4,
	STATED_TCP = 8,
};

static uint32_t match_operator(enum nft_sense sense)
{
	return sense == NFT_IS ? NFT_CMP_EQ : NFT_CMP_NEQ;
}

/* ---- What a rule relies on ---- */

void nft_state_ether(struct nft_batch *batch)
{
	const uint16_t type = ARPHRD_ETHER;

	if (batch->stated & STATED_ETHER)
		return;
	batch->stated |= STATED_ETHER;
	nft_load_meta(batch, NFT_META_IIFTYPE, NFT_REG_1);
	nft_compare(batch, NFT_CMP_EQ, &type, sizeof(type));
}

static void nft_state_family(struct nft_batch *batch)
{
	const uint8_t family = NFPROTO_IPV4;

	nft_load_meta(batch, NFT_META_NFPROTO, NFT_REG_1);
	nft_compare(batch, NFT_CMP_EQ, &family, sizeof(family));
}

void nft_state_ipv4(struct nft_batch *batch)
{
	if (batch->stated & STATED_IPV4)
		return;
	batch->stated |= STATED_IPV4;
	if (batch->family == NFPROTO_INET)
		nft_state_family(batch);
	else
		match_ether_type(batch, NFT_IS, ETH_P_IP);
}

void nft_stated_ipv4(struct nft_batch *batch)
{
	batch->stated |= STATED_IPV4;
}

void nft_state_arp(struct nft_batch *batch)
{
	if (batch->stated & STATED_ARP)
		return;
	batch->stated |= STATED_ARP;
	match_ether_type(batch, NFT_IS, ETH_P_ARP);
}

void nft_state_tcp(struct nft_batch *batch)
{
	if (batch->stated & STATED_TCP)
		return;
	batch->stated |= STATED_TCP;
	match_l4proto(batch, NFT_IS, IPPROTO_TCP);
}

void nft_load_key(struct nft_batch *batch, unsigned key, uint32_t offset)
{
	unsigned field = 0;
#define NEXT_REGISTER (field++ ? NFT_REG32_00 + field - 1 : NFT_REG_1)

	/* The protocol is stated first, since that takes register 1. */
	if (key & NFT_KEY_ADDRESS)
		nft_state_ipv4(batch);
	if (key & NFT_KEY_LINK)
		nft_load_meta(batch, NFT_META_IIF, NEXT_REGISTER);
	if (key & NFT_KEY_ADDRESS)
		nft_load_payload(batch, NFT_PAYLOAD_NETWORK_HEADER, offset, 4, NEXT_REGISTER);
	if (key & NFT_KEY_PROTO)
		nft_load_meta(batch, NFT_META_L4PROTO, NEXT_REGISTER);
	if (key & NFT_KEY_PORT)
		nft_load_payload(batch, NFT_PAYLOAD_TRANSPORT_HEADER, PORT_DESTINATION, 2, NEXT_REGISTER);
	if (key & NFT_KEY_MARK)
		nft_load_meta(batch, NFT_META_MARK, NEXT_REGISTER);
#undef NEXT_REGISTER
}

/* ---- Where a packet comes from and goes to ---- */

static void match_name(struct nft_batch *batch, uint32_t key, const char *name)
{
	char value[INTERFACE_NAME] = "";

	/* The whole field is compared: a shorter value would match every name that begins with it. */
	memcpy(value, name, strnlen(name, sizeof(value) - 1));
	nft_load_meta(batch, key, NFT_REG_1);
	nft_compare(batch, NFT_CMP_EQ, value, sizeof(value));
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
	nft_load_meta(batch, NFT_META_IIFGROUP, NFT_REG_1);
	nft_compare(batch, match_operator(sense), &group, sizeof(group));
}

void match_oifgroup(struct nft_batch *batch, enum nft_sense sense, uint32_t group)
{
	nft_load_meta(batch, NFT_META_OIFGROUP, NFT_REG_1);
	nft_compare(batch, match_operator(sense), &group, sizeof(group));
}

/* Ids are in host order, but the kernel compares bytes. */
static void match_socket_id(struct nft_batch *batch, uint32_t key, uint32_t first, uint32_t last)
{
	const uint32_t from = htobe32(first), to = htobe32(last);

	nft_load_meta(batch, key, NFT_REG_1);
	if (first == last) {
		nft_compare(batch, NFT_CMP_EQ, &first, sizeof(first));
		return;
	}
	struct nft_part part = nft_part_begin(batch, "byteorder");
	nft_part_u32(batch, NFTA_BYTEORDER_SREG, NFT_REG_1);
	nft_part_u32(batch, NFTA_BYTEORDER_DREG, NFT_REG_1);
	nft_part_u32(batch, NFTA_BYTEORDER_OP, NFT_BYTEORDER_HTON);
	nft_part_u32(batch, NFTA_BYTEORDER_LEN, sizeof(first));
	nft_part_u32(batch, NFTA_BYTEORDER_SIZE, sizeof(first));
	nft_part_end(batch, part);
	nft_compare(batch, NFT_CMP_GTE, &from, sizeof(from));
	nft_compare(batch, NFT_CMP_LTE, &to, sizeof(to));
}

void match_skuid(struct nft_batch *batch, uint32_t first, uint32_t last)
{
	match_socket_id(batch, NFT_META_SKUID, first, last);
}

void match_skgid(struct nft_batch *batch, uint32_t first, uint32_t last)
{
	match_socket_id(batch, NFT_META_SKGID, first, last);
}

void match_skuid_is_not(struct nft_batch *batch, uint32_t uid)
{
	nft_load_meta(batch, NFT_META_SKUID, NFT_REG_1);
	nft_compare(batch, NFT_CMP_NEQ, &uid, sizeof(uid));
}

static void match_load_fib(struct nft_batch *batch, uint32_t result, uint32_t flags)
{
	struct nft_part part = nft_part_begin(batch, "fib");

	nft_part_u32(batch, NFTA_FIB_FLAGS, flags);
	nft_part_u32(batch, NFTA_FIB_RESULT, result);
	nft_part_u32(batch, NFTA_FIB_DREG, NFT_REG_1);
	nft_part_end(batch, part);
}

void match_saddr_not_routed_back(struct nft_batch *batch)
{
	/* Whether the kernel found an interface; compared in the width of an interface's number, as nft(8) lists it. */
	const uint32_t missing = 0;

	match_load_fib(batch, NFT_FIB_RESULT_OIF, NFTA_FIB_F_SADDR | NFTA_FIB_F_IIF | NFTA_FIB_F_PRESENT);
	nft_compare(batch, NFT_CMP_EQ, &missing, sizeof(missing));
}

void match_daddr_local(struct nft_batch *batch, enum nft_sense sense)
{
	const uint32_t local = 2; /* RTN_LOCAL */

	match_load_fib(batch, NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_DADDR);
	nft_compare(batch, match_operator(sense), &local, sizeof(local));
}

/* ---- What it is ---- */

void match_ipv4(struct nft_batch *batch, enum nft_sense sense)
{
	const uint8_t family = NFPROTO_IPV4;

	if (sense == NFT_IS) {
		nft_state_ipv4(batch);
		return;
	}
	nft_load_meta(batch, NFT_META_NFPROTO, NFT_REG_1);
	nft_compare(batch, NFT_CMP_NEQ, &family, sizeof(family));
}

void match_ether_type(struct nft_batch *batch, enum nft_sense sense, uint16_t type)
{
	const uint16_t value = htobe16(type);

	nft_load_meta(batch, NFT_META_PROTOCOL, NFT_REG_1);
	nft_compare(batch, match_operator(sense), &value, sizeof(value));
}

void match_ether_tag(struct nft_batch *batch, uint16_t type)
{
	const uint16_t value = htobe16(type);

	/* The kernel has taken the tag out of the frame by now, and shows it in place to this load. */
	nft_state_ether(batch);
	nft_load_payload(batch, NFT_PAYLOAD_LL_HEADER, ETHER_TYPE, sizeof(value), NFT_REG_1);
	nft_compare(batch, NFT_CMP_EQ, &value, sizeof(value));
}

static void match_mac(struct nft_batch *batch, enum nft_sense sense, uint32_t offset, const struct mac *mac)
{
	nft_state_ether(batch);
	nft_load_payload(batch, NFT_PAYLOAD_LL_HEADER, offset, sizeof(mac->octets), NFT_REG_1);
	nft_compare(batch, match_operator(sense), mac->octets, sizeof(mac->octets));
}

void match_ether_saddr(struct nft_batch *batch, enum nft_sense sense, const struct mac *mac)
{
	match_mac(batch, sense, ETHER_SOURCE, mac);
}

void match_ether_daddr(struct nft_batch *batch, enum nft_sense sense, const struct mac *mac)
{
	match_mac(batch, sense, ETHER_DESTINATION, mac);
}

/* The type in the frame's own header is IPv4 only for frames without a tag. */
void match_ether_ipv4(struct nft_batch *batch, const struct mac *to, const struct mac *from)
{
	struct {
		struct mac to, from;
		uint16_t type;
	} __attribute__((packed)) value = { *to, from ? *from : (struct mac){ { 0 } }, htobe16(ETH_P_IP) };

	if (from) {
		/* The fields are adjacent in the header, so one comparison does, as nft(8) would write it. */
		nft_state_ether(batch);
		nft_load_payload(batch, NFT_PAYLOAD_LL_HEADER, ETHER_DESTINATION, sizeof(value), NFT_REG_1);
		nft_compare(batch, NFT_CMP_EQ, &value, sizeof(value));
	} else {
		match_ether_daddr(batch, NFT_IS, to);
		match_ether_tag(batch, ETH_P_IP);
	}
	nft_stated_ipv4(batch);
}

static void match_network_field(struct nft_batch *batch, enum nft_sense sense, uint32_t offset, uint32_t ip)
{
	const uint32_t value = htobe32(ip);

	nft_load_payload(batch, NFT_PAYLOAD_NETWORK_HEADER, offset, sizeof(value), NFT_REG_1);
	nft_compare(batch, match_operator(sense), &value, sizeof(value));
}

void match_arp_from(struct nft_batch *batch, const struct mac *mac, uint32_t ip)
{
	/* The fields are adjacent in the header, so one comparison does, as nft(8) would write it. */
	struct {
		struct mac mac;
		uint32_t ip;
	} __attribute__((packed)) value = { *mac, htobe32(ip) };

	nft_state_arp(batch);
	nft_load_payload(batch, NFT_PAYLOAD_NETWORK_HEADER, ARP_SENDER, sizeof(value), NFT_REG_1);
	nft_compare(batch, NFT_CMP_EQ, &value, sizeof(value));
}

void match_arp_sender(struct nft_batch *batch, uint32_t ip)
{
	nft_state_arp(batch);
	match_network_field(batch, NFT_IS, ARP_SENDER_IP, ip);
}

void match_arp_target(struct nft_batch *batch, uint32_t ip)
{
	nft_state_arp(batch);
	match_network_field(batch, NFT_IS, ARP_TARGET_IP, ip);
}

/* The first byte of the header holds both the version and the header's length. */
static void match_ip_start(struct nft_batch *batch, uint8_t bits, uint8_t value)
{
	nft_state_ipv4(batch);
	nft_load_payload(batch, NFT_PAYLOAD_NETWORK_HEADER, 0, sizeof(value), NFT_REG_1);
	nft_mask(batch, &bits, sizeof(bits));
	nft_compare(batch, NFT_CMP_EQ, &value, sizeof(value));
}

void match_ip_version(struct nft_batch *batch, uint8_t version)
{
	match_ip_start(batch, 0xf0, (uint8_t)(version << 4));
}

void match_ip_hdrlength(struct nft_batch *batch, uint8_t words)
{
	match_ip_start(batch, 0x0f, words);
}

void match_ip_saddr(struct nft_batch *batch, enum nft_sense sense, uint32_t ip)
{
	nft_state_ipv4(batch);
	match_network_field(batch, sense, NFT_IP_SOURCE, ip);
}

void match_ip_daddr(struct nft_batch *batch, enum nft_sense sense, uint32_t ip)
{
	nft_state_ipv4(batch);
	match_network_field(batch, sense, NFT_IP_DESTINATION, ip);
}

static void match_network(struct nft_batch *batch, enum nft_sense sense, uint32_t offset, const struct cidr4 *network)
{
	const uint32_t first = htobe32(addr_cidr4_first(network)), bits = htobe32(addr_cidr4_mask(network));
	/* nft(8) lists a network of whole bytes if the load is shorter, and any other by a mask. */
	bool whole_bytes = network->length && network->length % 8 == 0;
	uint32_t length = whole_bytes ? network->length / 8u : (uint32_t)sizeof(first);

	nft_state_ipv4(batch);
	nft_load_payload(batch, NFT_PAYLOAD_NETWORK_HEADER, offset, length, NFT_REG_1);
	if (!whole_bytes)
		nft_mask(batch, &bits, sizeof(bits));
	nft_compare(batch, match_operator(sense), &first, length);
}

void match_ip_saddr_in(struct nft_batch *batch, enum nft_sense sense, const struct cidr4 *network)
{
	match_network(batch, sense, NFT_IP_SOURCE, network);
}

void match_ip_daddr_in(struct nft_batch *batch, enum nft_sense sense, const struct cidr4 *network)
{
	match_network(batch, sense, NFT_IP_DESTINATION, network);
}

void match_l4proto(struct nft_batch *batch, enum nft_sense sense, uint8_t proto)
{
	nft_load_meta(batch, NFT_META_L4PROTO, NFT_REG_1);
	nft_compare(batch, match_operator(sense), &proto, sizeof(proto));
}

void match_dport(struct nft_batch *batch, uint8_t proto, uint16_t port)
{
	const uint16_t value = htobe16(port);

	if (proto == IPPROTO_TCP)
		nft_state_tcp(batch);
	else
		match_l4proto(batch, NFT_IS, proto);
	nft_load_payload(batch, NFT_PAYLOAD_TRANSPORT_HEADER, PORT_DESTINATION, sizeof(value), NFT_REG_1);
	nft_compare(batch, NFT_CMP_EQ, &value, sizeof(value));
}

/* Of the flags OF exactly SET are set; NFT_IS_NOT: some other combination. */
static void match_tcp_flags(struct nft_batch *batch, enum nft_sense sense, uint8_t set, uint8_t of)
{
	nft_state_tcp(batch);
	nft_load_payload(batch, NFT_PAYLOAD_TRANSPORT_HEADER, TCP_FLAGS, sizeof(set), NFT_REG_1);
	nft_mask(batch, &of, sizeof(of));
	nft_compare(batch, match_operator(sense), &set, sizeof(set));
}

void match_tcp_syn(struct nft_batch *batch)
{
	match_tcp_flags(batch, NFT_IS, TCP_SYN, TCP_SYN | TCP_RST);
}

void match_tcp_first(struct nft_batch *batch, enum nft_sense sense)
{
	match_tcp_flags(batch, sense, TCP_SYN, TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK);
}

void match_tcp_fin(struct nft_batch *batch)
{
	match_tcp_flags(batch, NFT_IS, TCP_FIN, TCP_FIN);
}

void match_tcp_amid(struct nft_batch *batch)
{
	match_tcp_flags(batch, NFT_IS, 0, TCP_SYN | TCP_RST);
}

void match_tcp_push(struct nft_batch *batch)
{
	match_tcp_flags(batch, NFT_IS, TCP_PSH, TCP_PSH);
}

void match_tcp_in_flow(struct nft_batch *batch)
{
	match_tcp_flags(batch, NFT_IS_NOT, TCP_SYN, TCP_SYN | TCP_ACK);
}

void match_icmp_type(struct nft_batch *batch, uint8_t type)
{
	nft_state_ipv4(batch);
	match_l4proto(batch, NFT_IS, IPPROTO_ICMP);
	nft_load_payload(batch, NFT_PAYLOAD_TRANSPORT_HEADER, 0, sizeof(type), NFT_REG_1);
	nft_compare(batch, NFT_CMP_EQ, &type, sizeof(type));
}

void match_icmp_too_big(struct nft_batch *batch)
{
	/* The fields are adjacent in the header, so one comparison does, as nft(8) would write it. */
	const uint8_t type_and_code[] = { 3, 4 };

	nft_state_ipv4(batch);
	match_l4proto(batch, NFT_IS, IPPROTO_ICMP);
	nft_load_payload(batch, NFT_PAYLOAD_TRANSPORT_HEADER, 0, sizeof(type_and_code), NFT_REG_1);
	nft_compare(batch, NFT_CMP_EQ, type_and_code, sizeof(type_and_code));
}

void match_icmp_unreachable(struct nft_batch *batch, uint32_t from, uint32_t to)
{
	const uint8_t unreachable = 3;
	const uint32_t quoted[] = { htobe32(from), htobe32(to) };

	match_icmp_type(batch, unreachable);
	nft_load_payload(batch, NFT_PAYLOAD_TRANSPORT_HEADER, ICMP_QUOTED + NFT_IP_SOURCE, sizeof(quoted), NFT_REG_1);
	nft_compare(batch, NFT_CMP_EQ, quoted, sizeof(quoted));
}

void match_icmpv6_type(struct nft_batch *batch, uint8_t type)
{
	match_ether_type(batch, NFT_IS, ETH_P_IPV6);
	match_l4proto(batch, NFT_IS, IPPROTO_ICMPV6);
	nft_load_payload(batch, NFT_PAYLOAD_TRANSPORT_HEADER, 0, sizeof(type), NFT_REG_1);
	nft_compare(batch, NFT_CMP_EQ, &type, sizeof(type));
}

void nft_look_up(struct nft_batch *batch, enum nft_sense sense, const struct nft_set *set)
{
	struct nft_part part = nft_part_begin(batch, "lookup");

	mnl_attr_put_strz(batch->open, NFTA_LOOKUP_SET, set->name);
	nft_part_u32(batch, NFTA_LOOKUP_SREG, NFT_REG_1);
	if (set->map)
		nft_part_u32(batch, NFTA_LOOKUP_DREG, NFT_REG_1);
	nft_part_u32(batch, NFTA_LOOKUP_FLAGS, sense == NFT_IS_NOT ? NFT_LOOKUP_F_INV : 0);
	nft_part_end(batch, part);
}

void match_destination_in(struct nft_batch *batch, enum nft_sense sense, const struct nft_set *set)
{
	nft_load_key(batch, set->key, NFT_IP_DESTINATION);
	nft_look_up(batch, sense, set);
}

void match_source_in(struct nft_batch *batch, enum nft_sense sense, const struct nft_set *set)
{
	nft_load_key(batch, set->key, NFT_IP_SOURCE);
	nft_look_up(batch, sense, set);
}

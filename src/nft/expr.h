/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_NFT_EXPR_H
#define WEFT_NFT_EXPR_H

/*
 * Rules that read like those that nft(8) lists:
 *
 *	RULE(batch, "input", match_iifname(batch, "tap0"), match_ct_direction(batch, IP_CT_DIR_ORIGINAL), verdict_drop(batch));
 *
 * Each function adds one word of a rule. A word that looks into a packet first states the protocol it relies on, once in a
 * rule, as nft(8) expects of the rules it lists. Addresses, ports and networks are in host order.
 */

#include "base/addr.h"
#include "nft/batch.h"
#include "nft/table.h"

/* Adds one rule to CHAIN, made of the words that follow. It is the last one there, unless batch->ahead is set. */
#define RULE(batch, chain, ...)                                                                                        \
	do {                                                                                                           \
		if (nft_rule_open((batch), (chain))) {                                                                 \
			(void)(__VA_ARGS__);                                                                           \
			nft_rule_close((batch));                                                                       \
		}                                                                                                      \
	} while (0)

/* Use RULE(). False without memory. */
bool nft_rule_open(struct nft_batch *batch, const char *chain);
void nft_rule_close(struct nft_batch *batch);

enum nft_sense {
	NFT_IS,
	NFT_IS_NOT,
};

/* ---- Where a packet comes from and goes to ---- */

void match_iifname(struct nft_batch *batch, const char *name);
void match_oifname(struct nft_batch *batch, const char *name);
void match_iifgroup(struct nft_batch *batch, enum nft_sense sense, uint32_t group);
void match_oifgroup(struct nft_batch *batch, enum nft_sense sense, uint32_t group);
void match_saddr_not_routed_back(struct nft_batch *batch); /* fib saddr . iif oif missing */
/* The user, or group, of the process that opened the sending socket. Packets without such a socket, the kernel's own, do not match. */
void match_skuid(struct nft_batch *batch, uint32_t first, uint32_t last);
void match_skgid(struct nft_batch *batch, uint32_t first, uint32_t last);
void match_skuid_is_not(struct nft_batch *batch, uint32_t uid);
void match_daddr_local(struct nft_batch *batch, enum nft_sense sense);

/* ---- What it is ---- */

void match_ipv4(struct nft_batch *batch, enum nft_sense sense);                      /* inet: meta nfproto */
void match_ether_type(struct nft_batch *batch, enum nft_sense sense, uint16_t type); /* meta protocol, ETH_P_* */
void match_ether_tag(struct nft_batch *batch, uint16_t type); /* ether type: ETH_P_8021Q, ETH_P_8021AD */
/* IPv4 without a tag, with destination TO and source FROM; FROM is NULL for any source. */
void match_ether_ipv4(struct nft_batch *batch, const struct mac *to, const struct mac *from);
void match_ether_saddr(struct nft_batch *batch, enum nft_sense sense, const struct mac *mac);
void match_ether_daddr(struct nft_batch *batch, enum nft_sense sense, const struct mac *mac);
void match_arp_from(struct nft_batch *batch, const struct mac *mac, uint32_t ip);
void match_arp_sender(struct nft_batch *batch, uint32_t ip); /* the address alone */
void match_arp_target(struct nft_batch *batch, uint32_t ip);
void match_ip_version(struct nft_batch *batch, uint8_t version);
void match_ip_hdrlength(struct nft_batch *batch, uint8_t words); /* 5: no options */
void match_ip_saddr(struct nft_batch *batch, enum nft_sense sense, uint32_t ip);
void match_ip_daddr(struct nft_batch *batch, enum nft_sense sense, uint32_t ip);
void match_ip_saddr_in(struct nft_batch *batch, enum nft_sense sense, const struct cidr4 *network);
void match_ip_daddr_in(struct nft_batch *batch, enum nft_sense sense, const struct cidr4 *network);
void match_l4proto(struct nft_batch *batch, enum nft_sense sense, uint8_t proto); /* IPPROTO_* */
void match_dport(struct nft_batch *batch, uint8_t proto, uint16_t port);          /* of TCP or UDP */
void match_length_over(struct nft_batch *batch, uint32_t bytes); /* of the packet, from its IP header on */
void match_tcp_syn(struct nft_batch *batch);                     /* SYN without RST */
void match_tcp_first(struct nft_batch *batch,
		     enum nft_sense sense); /* a first segment: of FIN, SYN, RST and ACK it has SYN */
void match_tcp_fin(struct nft_batch *batch);
void match_tcp_amid(struct nft_batch *batch);                  /* neither SYN nor RST */
void match_tcp_push(struct nft_batch *batch);                  /* PSH: the end of what was written */
void match_tcp_in_flow(struct nft_batch *batch);               /* no first segment: not SYN without ACK */
void match_icmp_type(struct nft_batch *batch, uint8_t type);   /* RFC 792 */
void match_icmp_too_big(struct nft_batch *batch);              /* fragmentation is needed, but not allowed */
void match_icmpv6_type(struct nft_batch *batch, uint8_t type); /* netdev: ICMPv6 in IPv6 */
/* Destination unreachable, RFC 792, about a packet from FROM to TO. */
void match_icmp_unreachable(struct nft_batch *batch, uint32_t from, uint32_t to);

/* Whether the packet's destination is in SET: address, protocol and port, as far as the set's key has them. */
void match_destination_in(struct nft_batch *batch, enum nft_sense sense, const struct nft_set *set);
void match_source_in(struct nft_batch *batch, enum nft_sense sense, const struct nft_set *set);

/* ---- Which flow it belongs to ---- */

void match_ct_direction(struct nft_batch *batch, uint8_t direction); /* IP_CT_DIR_* */
void match_ct_state(struct nft_batch *batch, uint32_t states);       /* any of NFT_CT_STATE_* */
void match_ct_dnat(struct nft_batch *batch);                         /* its destination was translated */
void match_ct_original_saddr(struct nft_batch *batch, uint32_t ip);
void match_ct_original_dport(struct nft_batch *batch, uint16_t port); /* whatever the protocol */
void match_ct_original_daddr_in(struct nft_batch *batch, const struct nft_set *set);
void match_ct_confirmed(struct nft_batch *batch); /* an earlier packet has passed: the flow is tracked */
void match_ct_mark(struct nft_batch *batch, enum nft_sense sense, uint32_t mark);
void match_ct_count_over(struct nft_batch *batch, uint32_t flows);

#define NFT_CT_STATE_INVALID     (1u << 0) /* belongs to no flow, and begins none */
#define NFT_CT_STATE_ESTABLISHED (1u << 1)
#define NFT_CT_STATE_RELATED     (1u << 2)
#define NFT_CT_STATE_NEW         (1u << 3)

/* ---- How much of it there is ---- */

void match_packets_over(struct nft_batch *batch, uint64_t per_second, uint32_t burst);
void match_packets_under(struct nft_batch *batch, uint64_t per_second, uint32_t burst);
void match_bytes_over(struct nft_batch *batch, uint64_t per_second, uint32_t burst);

/* ---- What is done ---- */

void act_count(struct nft_batch *batch, const char *counter);
void act_mark(struct nft_batch *batch, uint32_t mark);
void act_mark_flow(struct nft_batch *batch, uint32_t mark); /* ct mark set */
/* add, or update, @set { ... }. If the set limits, the rule goes on only above the limit. */
void act_record_destination(struct nft_batch *batch, const struct nft_set *set);
void act_record_source(struct nft_batch *batch, const struct nft_set *set); /* the same for the packet's source */
/*
 * Gives the packet the source address that its flow's packets have in DIRECTION (IP_CT_DIR_*). nftables cannot compare two fields; after
 * this, a rule looks at an address of the flow where it looks at the packet's source.
 */
void act_set_saddr_of_flow(struct nft_batch *batch, uint8_t direction);
void act_set_dscp(struct nft_batch *batch, uint8_t dscp); /* 0 to 63; ECN stays */
void act_set_ttl(struct nft_batch *batch, uint8_t ttl);
void act_clamp_mss(struct nft_batch *batch);
void act_dnat(struct nft_batch *batch, uint32_t ip);
void act_dnat_by_destination(struct nft_batch *batch, const struct nft_set *map);
void act_snat(struct nft_batch *batch, uint32_t ip);
void act_masquerade(struct nft_batch *batch);
void act_redirect(struct nft_batch *batch);                   /* to the same port of the interface it came in by */
void act_redirect_to(struct nft_batch *batch, uint16_t port); /* to this port; after match_l4proto() or match_dport() */
void act_reject_with_reset(struct nft_batch *batch);
void act_reject_as_prohibited(struct nft_batch *batch);
void act_reject_as_unreachable(struct nft_batch *batch); /* as a router does whose next hop does not answer */
/* Hands the packet's first BYTES to the listener of a group of NFLOG, at once; without a listener to nobody. The packet goes on. */
void act_log(struct nft_batch *batch, const char *prefix, uint16_t group, uint32_t bytes);
void verdict_accept(struct nft_batch *batch);
void verdict_drop(struct nft_batch *batch);
void verdict_notrack(struct nft_batch *batch); /* in a hook of priority raw, before conntrack */
void verdict_return(struct nft_batch *batch);  /* to the rule behind the jump to this chain */
void verdict_jump(struct nft_batch *batch, const char *chain);
void verdict_goto(struct nft_batch *batch, const char *chain);

#endif

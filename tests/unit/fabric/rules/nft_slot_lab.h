/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_TESTS_UNIT_FABRIC_RULES_NFT_SLOT_LAB_H
#define WEFT_TESTS_UNIT_FABRIC_RULES_NFT_SLOT_LAB_H

/*
 * Common to the tests of a slot's tables: a namespace like slot 1's, plans, and packets of its guest and its host.
 */

#include "unit/nft_lab.h"

#include "base/err.h"

#define IP(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))

enum {
	ELSEWHERE = IP(1, 2, 3, 4), /* on the internet */
	OTHER = IP(1, 2, 4, 4),
};

extern struct lab lab;
extern struct err err;
extern const struct fabric_plan plan;                   /* without policy */
extern const struct fabric_plan plan_some, plan_closed; /* something in each set; no internet */
extern const uint32_t guest_ip, tap_ip, host_ip, veth_host_ip;

#define OK(call) ck_assert_msg((call) == 0, "%s", err.text)

/* Fixtures: the links alone, or with the tables of `plan`. */
void setup(void);
void setup_with_tables(void);

bool is_intact(const struct fabric_plan *of);

/* A first packet: a SYN, a ping, ... */
struct packet from_guest(uint8_t proto, uint32_t destination, uint16_t port);
struct packet from_host(uint8_t proto, uint32_t destination, uint16_t port);

/* The answer to PACKET. */
struct packet reply_to(const struct packet *packet, uint8_t tcp_flags);

/* The guest sends it and the host receives it, or the other way round. */
struct packet passes_out(const struct packet *packet);
struct packet passes_in(const struct packet *packet);

/* The guest sends it and gets a reset or a prohibition, and nothing leaves. */
void is_denied(const struct packet *packet);

/* Opens a TCP flow from the guest to DESTINATION. Returns the guest's next packet. */
struct packet open_flow(uint32_t destination, uint16_t port);

/* The answer about a destination. */
struct fabric_reach reach(uint32_t destination, uint8_t proto, uint16_t port);

/* The kernel's treatment of a packet agrees with the answer about it. */
void expect(uint32_t destination, uint8_t proto, uint16_t port, bool passes, const char *rule);

#endif

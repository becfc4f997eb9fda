/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_TESTS_UNIT_FABRIC_RULES_NFT_HOST_LAB_H
#define WEFT_TESTS_UNIT_FABRIC_RULES_NFT_HOST_LAB_H

/*
 * Common to the tests of the host's table: a host with an uplink and two sandboxes' links, and packets on them.
 */

#include "unit/nft_lab.h"

#include "base/err.h"

#define IP(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))

enum {
	UPLINK_IP = IP(1, 0, 0, 2),
	CLIENT = IP(1, 0, 0, 1), /* beyond the uplink */
	ELSEWHERE = IP(8, 8, 8, 8),
};

extern const uint32_t first_ip, second_ip, veth_ip;
extern struct lab lab;
extern struct err err;
extern int uplink, first, second; /* the far sides, which the test holds, of the uplink and of two sandboxes' links */

#define OK(call) ck_assert_msg((call) == 0, "%s", err.text)

/* Fixtures: the links alone, or with the table. */
void setup(void);
void setup_with_table(void);

bool is_intact(void);

/* A first packet: a SYN, a ping, ... */
struct packet make(uint8_t proto, uint32_t source, uint32_t destination, uint16_t port);
struct packet syn(uint32_t source, uint32_t destination, uint16_t port);

/* The answer to PACKET. */
struct packet reply_to(const struct packet *packet, uint8_t tcp_flags);

/* Sends PACKET into one link, and receives it from another. */
struct packet passes(int from, int to, struct packet packet);

void nothing_anywhere(void);

/* The first sandbox sends it and gets an answer at once, and nothing goes anywhere else. */
void is_denied(struct packet packet);
void is_dropped(int from, struct packet packet);

#endif

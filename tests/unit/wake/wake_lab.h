/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_TESTS_UNIT_WAKE_LAB_H
#define WEFT_TESTS_UNIT_WAKE_LAB_H

/*
 * The kernel's own log, conntrack and translation in a namespace: a client behind one TAP, a guest behind another. Frames of the test's own
 * are never repeated by a TCP of the kernel's, so that what comes a second time was sent again by weft.
 */

#include "base/err.h"
#include "unit/nft_lab.h"
#include "wake/wake.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	GUEST = 0x0a0b0002,  /* 10.11.0.2 */
	HOST = 0xc0000201,   /* 192.0.2.1, whose port 18080 is the guest's 8080 */
	CLIENT = 0xc0000202, /* 192.0.2.2 */
	SYN = 0x02,
	RST = 0x04,
	ACK = 0x10,
};

struct wake_lab {
	struct lab net;
	int client, guest; /* the far sides of the links */
	struct event_base *base;
	struct event *tick;
	struct wake *wake;
	struct err err;
	unsigned heard;
	struct wake_heard last;
};
extern struct wake_lab lab;

/* For a fixture: the guest is asleep. */
void wake_lab_open(void);
void wake_lab_close(void);

/* A wake_new() in place of one that was freed. */
void wake_lab_begin(void);

/* Runs the loop until CONDITION holds; Check ends a test in which it never does. */
#define run_until(condition)                                                                                           \
	while (!(condition))                                                                                           \
	event_base_loop(lab.base, EVLOOP_ONCE)

struct wake_stats wake_lab_stats(void);

/* A SYN, or a datagram, from the client to DESTINATION and PORT. */
struct packet wake_lab_packet(uint8_t proto, uint32_t destination, uint16_t port);

/* It reaches the guest's side, as what it was sent as. With a closed TAP it would be lost there. */
void wake_lab_arrives(uint8_t proto);

void wake_lab_wakes_up(bool send_again);

/* The guest answers what was ASKED, and the client has the answer from where it had asked. */
void wake_lab_guest_answers(const struct packet *asked);

/* How many are tracked. */
unsigned wake_lab_flows(void);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_WAKE_KEPT_H
#define WEFT_WAKE_KEPT_H

/*
 * Copies of the first packets to addresses that are asleep: WAKE_KEPT_FLOWS for each address, WAKE_KEPT_ALL for all, none for longer than
 * WAKE_KEPT_MS. What does not fit is left out, so that who came first is served first. Touches no socket and no clock. Main thread only.
 */

#include "base/queue.h"
#include "wake/packet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wake_kept;
struct wake_sleeper;

struct wake_copy {
	TAILQ_ENTRY(wake_copy) by_age, of_sleeper; /* kept.c's; the oldest is first in both */
	struct wake_sleeper *sleeper;
	uint64_t kept_ms;
	struct wake_packet packet;
	bool reached;     /* a datagram that got into the TAP's queue, and stays there: it is not to be sent again */
	bool asked_known; /* the next two are: the store's user writes all three */
	uint32_t asked_ip;
	uint16_t asked_port;
	uint8_t bytes[]; /* packet.length of them */
};

/* NULL: no memory. */
struct wake_kept *wake_kept_new(void);

/* Harmless with NULL. */
void wake_kept_free(struct wake_kept *kept);

/* From now on copies of packets to HOST_IP are kept. 0, or -1: no memory. */
int wake_kept_open(struct wake_kept *kept, uint32_t host_ip);

/* Whether the TAP of HOST_IP, for which copies are kept, was noted as anything but OPEN. */
bool wake_kept_is_news(struct wake_kept *kept, uint32_t host_ip, bool open);

/* The TAP of HOST_IP is OPEN from now on, or closed, as it is at first; what it had in its queue is lost then. Harmless for others. */
void wake_kept_note_tap(struct wake_kept *kept, uint32_t host_ip, bool open);

/*
 * Keeps PACKET, which is sendable, with its BYTES. A repetition of a SYN takes the place of the former one, so that it stays for as long
 * as its client asks, and has what was known of that; of a flow of UDP the first datagram stays. The copy that was made; NULL: none.
 */
struct wake_copy *wake_kept_add(struct wake_kept *kept, const struct wake_packet *packet, const uint8_t *bytes,
				uint64_t now_ms);

/* Drops the copies for HOST_IP whose clients had asked for another address. */
void wake_kept_forget_led(struct wake_kept *kept, uint32_t host_ip);

/* Hands the copies for HOST_IP to TAKE, the oldest first, unless it is NULL; they are freed, and no more are kept. */
void wake_kept_close(struct wake_kept *kept, uint32_t host_ip, void (*take)(void *context, struct wake_copy *copy),
		     void *context);

/* Drops the copies that are too old. When the next one will be; 0: there is none. */
uint64_t wake_kept_expire(struct wake_kept *kept, uint64_t now_ms);

size_t wake_kept_count(const struct wake_kept *kept);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_WAKE_PACKET_H
#define WEFT_WAKE_PACKET_H

/*
 * Reads the copy of an IPv4 packet that the kernel logged, strictly, and gives it another destination. The bytes are a stranger's. Pure;
 * any thread.
 */

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In host order. */
struct wake_packet {
	enum proto proto;
	uint32_t source, destination;
	uint16_t source_port, dest_port;
	size_t length; /* of the packet; what lies behind it is none of it */
	/*
	 * It may be sent again: all of it was copied, it has no options of IP, and its checksum is right, or was left to a network card, as it
	 * is between a host and its guests. One that was damaged on its way would look sound with a checksum made anew.
	 */
	bool sendable;
};

/*
 * Reads the SIZE bytes that were copied. 0 with PACKET; -1: not a whole header, a fragment, or a packet that begins no flow: of TCP
 * it must be a SYN that acknowledges nothing.
 */
int wake_packet_read(const uint8_t *bytes, size_t size, struct wake_packet *packet);

/*
 * Directs the PACKET in BYTES, which is sendable, to DESTINATION and PORT (host order), and makes its checksums anew. PACKET is as
 * wake_packet_read() would read it then.
 */
void wake_packet_direct(uint8_t *bytes, struct wake_packet *packet, uint32_t destination, uint16_t port);

#endif

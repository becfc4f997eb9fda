/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as the copy of a packet that wakes a sandbox. One that may be sent again is whole, reads as what it is directed to, and would
 * not be sent without its last byte.
 */
#include "fuzz.h"
#include "wake/packet.h"

enum { DESTINATION = 0x0a0b0007, PORT = 65535, IP_HEADER = 20 };

/* From a copy of the exact size, so that a sanitizer sees what reads beyond. */
static int read_copy(const uint8_t *data, size_t size, struct wake_packet *packet)
{
	uint8_t *copy = malloc(size ? size : 1);

	fuzz_check(copy);
	if (size)
		memcpy(copy, data, size);
	int result = wake_packet_read(copy, size, packet);
	free(copy);
	return result;
}

static void check_same(const struct wake_packet *a, const struct wake_packet *b)
{
	fuzz_check(a->proto == b->proto && a->source == b->source && a->source_port == b->source_port &&
		   a->destination == b->destination && a->dest_port == b->dest_port && a->length == b->length &&
		   a->sendable == b->sendable);
}

static void check_direct(const uint8_t *data, struct wake_packet packet)
{
	uint8_t *bytes = malloc(packet.length);
	struct wake_packet directed;

	fuzz_check(bytes);
	memcpy(bytes, data, packet.length);
	wake_packet_direct(bytes, &packet, DESTINATION, PORT);
	fuzz_check(packet.destination == DESTINATION && packet.dest_port == PORT);
	fuzz_check(read_copy(bytes, packet.length, &directed) == 0);
	check_same(&packet, &directed);
	fuzz_check(read_copy(bytes, packet.length - 1, &directed) < 0 || !directed.sendable);
	free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wake_packet packet;

	if (read_copy(data, size, &packet) < 0)
		return 0;
	fuzz_check(packet.source && packet.destination && packet.source_port && packet.dest_port);
	fuzz_check(packet.length >= IP_HEADER + 8);
	if (!packet.sendable)
		return 0;
	fuzz_check(packet.length <= size);
	check_direct(data, packet);
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel has looked at these headers before its rules logged the packet, but the group may be logged to by anybody's rules. So
 * nothing is believed: all lengths are held against each other, and each byte is read within what was copied.
 *
 * A packet on its way to a card, or to a guest, bears no checksum: where it belongs there is the sum of the pseudo header, to which the
 * card would add the rest. A copy has it like that.
 */
#include "wake/packet.h"

#include <netinet/in.h>

enum {
	IP_HEADER = 20, /* without options */
	TCP_HEADER = 20,
	UDP_HEADER = 8,
	/* Where a field begins in its header. */
	AT_LENGTH = 2,
	AT_FRAGMENT = 6,
	AT_PROTOCOL = 9,
	AT_CHECKSUM = 10,
	AT_SOURCE = 12,
	AT_DESTINATION = 16,
	AT_DEST_PORT = 2, /* of both protocols; the source's port is first */
	AT_TCP_OFFSET = 12,
	AT_TCP_FLAGS = 13,
	AT_TCP_CHECKSUM = 16,
	AT_UDP_LENGTH = 4,
	AT_UDP_CHECKSUM = 6,
	/* Their bits. */
	FRAGMENT_BITS = 0x3fff, /* more fragments, and the offset */
	FLAG_FIN = 0x01,
	FLAG_SYN = 0x02,
	FLAG_RST = 0x04,
	FLAG_ACK = 0x10,
};

static uint16_t wake_packet_get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t wake_packet_get32(const uint8_t *at)
{
	return (uint32_t)wake_packet_get16(at) << 16 | wake_packet_get16(at + 2);
}

static void wake_packet_put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void wake_packet_put32(uint8_t *at, uint32_t value)
{
	wake_packet_put16(at, (uint16_t)(value >> 16));
	wake_packet_put16(at + 2, (uint16_t)value);
}

/* ---- Sums ---- */

/* The ones' complement sum of SIZE bytes and SUM, in 16 bits. */
static uint16_t wake_packet_sum(const uint8_t *bytes, size_t size, uint32_t sum)
{
	for (size_t i = 0; i < size; i++)
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* The sum of addresses, protocol and LENGTH of what follows the IP header. */
static uint16_t wake_packet_pseudo(const uint8_t *bytes, size_t length)
{
	return wake_packet_sum(bytes + AT_SOURCE, IP_HEADER - AT_SOURCE, bytes[AT_PROTOCOL] + (uint32_t)length);
}

static size_t wake_packet_checksum_at(enum proto proto)
{
	return proto == PROTO_TCP ? IP_HEADER + AT_TCP_CHECKSUM : IP_HEADER + AT_UDP_CHECKSUM;
}

/* Whether the checksum is right, was left out, or was left to a card. */
static bool wake_packet_is_sound(const uint8_t *bytes, const struct wake_packet *packet)
{
	size_t length = packet->length - IP_HEADER;
	uint16_t pseudo = wake_packet_pseudo(bytes, length);
	uint16_t given = wake_packet_get16(bytes + wake_packet_checksum_at(packet->proto));

	if (packet->proto == PROTO_UDP && !given)
		return true;
	if (wake_packet_sum(bytes + IP_HEADER, length, pseudo) == 0xffff)
		return true;
	/* Of the two zeroes that such a sum has, the kernel may have written either. */
	return given % 0xffff == pseudo % 0xffff;
}

/* ---- Reading ---- */

/* The SIZE bytes at AT begin with a header of TCP; LEFT bytes of the packet begin there. */
static int wake_packet_read_tcp(const uint8_t *at, size_t size, size_t left)
{
	if (size < TCP_HEADER || left < TCP_HEADER)
		return -1;
	size_t header = (at[AT_TCP_OFFSET] >> 4) * 4U;
	if (header < TCP_HEADER || header > left)
		return -1;
	return (at[AT_TCP_FLAGS] & (FLAG_FIN | FLAG_SYN | FLAG_RST | FLAG_ACK)) == FLAG_SYN ? 0 : -1;
}

static int wake_packet_read_udp(const uint8_t *at, size_t size, size_t left)
{
	if (size < UDP_HEADER || left < UDP_HEADER)
		return -1;
	return wake_packet_get16(at + AT_UDP_LENGTH) == left ? 0 : -1;
}

static int wake_packet_read_ports(const uint8_t *at, size_t size, size_t left, struct wake_packet *packet)
{
	int result =
	    packet->proto == PROTO_TCP ? wake_packet_read_tcp(at, size, left) : wake_packet_read_udp(at, size, left);

	if (result < 0)
		return -1;
	packet->source_port = wake_packet_get16(at);
	packet->dest_port = wake_packet_get16(at + AT_DEST_PORT);
	return packet->source_port && packet->dest_port ? 0 : -1;
}

/* Whether a packet can come from, or go to, ADDRESS alone: not 0.0.0.0/8, and neither multicast nor reserved. */
static bool wake_packet_is_single(uint32_t address)
{
	return address >> 24 && address >> 24 < 224;
}

int wake_packet_read(const uint8_t *bytes, size_t size, struct wake_packet *packet)
{
	*packet = (struct wake_packet){ 0 };
	if (size < IP_HEADER || bytes[0] >> 4 != 4)
		return -1;
	size_t header = (bytes[0] & 0xf) * 4U;
	packet->length = wake_packet_get16(bytes + AT_LENGTH);
	if (header < IP_HEADER || header > packet->length || header > size)
		return -1;
	if (wake_packet_get16(bytes + AT_FRAGMENT) & FRAGMENT_BITS)
		return -1;
	if (bytes[AT_PROTOCOL] != IPPROTO_TCP && bytes[AT_PROTOCOL] != IPPROTO_UDP)
		return -1;
	packet->proto = bytes[AT_PROTOCOL] == IPPROTO_TCP ? PROTO_TCP : PROTO_UDP;
	packet->source = wake_packet_get32(bytes + AT_SOURCE);
	packet->destination = wake_packet_get32(bytes + AT_DESTINATION);
	if (!wake_packet_is_single(packet->source) || !wake_packet_is_single(packet->destination))
		return -1;
	if (wake_packet_read_ports(bytes + header, size - header, packet->length - header, packet) < 0)
		return -1;
	packet->sendable = header == IP_HEADER && packet->length <= size && wake_packet_is_sound(bytes, packet);
	return 0;
}

/* ---- Directing ---- */

void wake_packet_direct(uint8_t *bytes, struct wake_packet *packet, uint32_t destination, uint16_t port)
{
	size_t length = packet->length - IP_HEADER;
	uint8_t *checksum = bytes + wake_packet_checksum_at(packet->proto);
	uint16_t sum;

	wake_packet_put32(bytes + AT_DESTINATION, destination);
	wake_packet_put16(bytes + IP_HEADER + AT_DEST_PORT, port);
	packet->destination = destination;
	packet->dest_port = port;
	wake_packet_put16(bytes + AT_CHECKSUM, 0);
	wake_packet_put16(bytes + AT_CHECKSUM, (uint16_t)~wake_packet_sum(bytes, IP_HEADER, 0));
	wake_packet_put16(checksum, 0);
	sum = (uint16_t)~wake_packet_sum(bytes + IP_HEADER, length, wake_packet_pseudo(bytes, length));
	/* In UDP, 0 says that there is none. */
	wake_packet_put16(checksum, packet->proto == PROTO_UDP && !sum ? 0xffff : sum);
}

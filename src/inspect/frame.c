/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The checksums are right, because connection tracking looks at them.
 */
#include "inspect/frame.h"

#include <arpa/inet.h>
#include <netinet/if_ether.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>

enum { AT_IP = ETH_HLEN, AT_TRANSPORT = AT_IP + sizeof(struct iphdr), TTL = 64 };

static uint32_t inspect_frame_sum(const uint8_t *bytes, size_t size, uint32_t sum)
{
	for (size_t i = 0; i < size; i++)
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	return sum;
}

static uint16_t inspect_frame_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static uint8_t inspect_frame_protocol(const struct inspect_frame *frame)
{
	return frame->protocol ? frame->protocol : IPPROTO_TCP;
}

static size_t inspect_frame_write_tcp(const struct inspect_frame *frame, uint32_t pseudo, uint8_t *bytes)
{
	struct tcphdr tcp = { .th_sport = htons(frame->source_port),
			      .th_dport = htons(frame->port),
			      .th_seq = htonl(frame->sequence),
			      .th_ack = htonl(frame->acknowledged),
			      .th_off = sizeof(tcp) / 4,
			      .th_flags = frame->flags,
			      .th_win = htons(UINT16_MAX) };

	memcpy(bytes, &tcp, sizeof(tcp));
	tcp.th_sum = inspect_frame_fold(inspect_frame_sum(bytes, sizeof(tcp), pseudo + sizeof(tcp)));
	memcpy(bytes, &tcp, sizeof(tcp));
	return sizeof(tcp);
}

static size_t inspect_frame_write_udp(const struct inspect_frame *frame, uint32_t pseudo, uint8_t *bytes)
{
	struct udphdr udp = { .uh_sport = htons(frame->source_port),
			      .uh_dport = htons(frame->port),
			      .uh_ulen = htons(sizeof(udp)) };

	memcpy(bytes, &udp, sizeof(udp));
	udp.uh_sum = inspect_frame_fold(inspect_frame_sum(bytes, sizeof(udp), pseudo + sizeof(udp)));
	memcpy(bytes, &udp, sizeof(udp));
	return sizeof(udp);
}

size_t inspect_frame_write(const struct inspect_frame *frame, const struct mac *from, const struct mac *to,
			   uint8_t bytes[static INSPECT_FRAME_SIZE])
{
	struct iphdr ip = { .version = 4,
			    .ihl = sizeof(ip) / 4,
			    .ttl = TTL,
			    .protocol = inspect_frame_protocol(frame),
			    .saddr = htonl(frame->source),
			    .daddr = htonl(frame->destination) };
	uint32_t pseudo = inspect_frame_sum((const uint8_t *)&ip.saddr, 8, ip.protocol);

	memset(bytes, 0, INSPECT_FRAME_SIZE);
	memcpy(bytes, to->octets, ETH_ALEN);
	memcpy(bytes + ETH_ALEN, from->octets, ETH_ALEN);
	bytes[2 * ETH_ALEN] = ETH_P_IP >> 8;
	size_t length = ip.protocol == IPPROTO_UDP ? inspect_frame_write_udp(frame, pseudo, bytes + AT_TRANSPORT)
						   : inspect_frame_write_tcp(frame, pseudo, bytes + AT_TRANSPORT);
	ip.tot_len = htons((uint16_t)(sizeof(ip) + length));
	ip.check = inspect_frame_fold(inspect_frame_sum((const uint8_t *)&ip, sizeof(ip), 0));
	memcpy(bytes + AT_IP, &ip, sizeof(ip));
	return AT_TRANSPORT + length;
}

bool inspect_frame_read(const uint8_t *bytes, size_t size, struct inspect_frame *frame)
{
	struct iphdr ip;
	struct tcphdr tcp = { 0 };

	if (size < AT_TRANSPORT + sizeof(struct udphdr))
		return false;
	memcpy(&ip, bytes + AT_IP, sizeof(ip));
	if (ip.ihl != sizeof(ip) / 4 || ip.protocol != inspect_frame_protocol(frame) ||
	    ntohl(ip.saddr) != frame->source || ntohl(ip.daddr) != frame->destination)
		return false;
	memcpy(&tcp, bytes + AT_TRANSPORT, size - AT_TRANSPORT < sizeof(tcp) ? size - AT_TRANSPORT : sizeof(tcp));
	uint16_t source_port = ntohs(tcp.th_sport), port = ntohs(tcp.th_dport);
	if ((frame->source_port && source_port != frame->source_port) || (frame->port && port != frame->port) ||
	    (ip.protocol == IPPROTO_TCP && (tcp.th_flags & (TH_SYN | TH_ACK | TH_RST)) != frame->flags))
		return false;
	frame->source_port = source_port;
	frame->port = port;
	frame->sequence = ntohl(tcp.th_seq);
	frame->acknowledged = ntohl(tcp.th_ack);
	return true;
}

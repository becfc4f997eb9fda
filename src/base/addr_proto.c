/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One table of names, for reading and writing alike.
 */
#include "base/addr_proto.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const struct {
	uint8_t proto;
	const char *name;
} addr_ip_protos[] = {
	{ IPPROTO_TCP, "tcp" }, { IPPROTO_UDP, "udp" }, { IPPROTO_ICMP, "icmp" }, { IPPROTO_GRE, "gre" },
	{ IPPROTO_ESP, "esp" }, { IPPROTO_AH, "ah" },   { IPPROTO_SCTP, "sctp" },
};

enum { ADDR_IP_PROTOS = sizeof(addr_ip_protos) / sizeof(addr_ip_protos[0]) };

const char *addr_ip_proto_name(uint8_t proto)
{
	for (size_t i = 0; i < ADDR_IP_PROTOS; i++)
		if (addr_ip_protos[i].proto == proto)
			return addr_ip_protos[i].name;
	return NULL;
}

const char *addr_ip_proto_format(uint8_t proto, char text[static ADDR_IP_PROTO_TEXT_SIZE])
{
	const char *name = addr_ip_proto_name(proto);

	if (name)
		snprintf(text, ADDR_IP_PROTO_TEXT_SIZE, "%s", name);
	else
		snprintf(text, ADDR_IP_PROTO_TEXT_SIZE, "%u", proto);
	return text;
}

int addr_ip_proto_from_name(const char *text, uint8_t *proto)
{
	for (size_t i = 0; i < ADDR_IP_PROTOS; i++) {
		if (strcmp(addr_ip_protos[i].name, text) != 0)
			continue;
		*proto = addr_ip_protos[i].proto;
		return 0;
	}
	return -1;
}

int addr_ip_proto_parse(const char *text, uint8_t *proto)
{
	unsigned number = 0;
	size_t digits = strspn(text, "0123456789");

	if (!digits || digits > 3 || text[digits])
		return addr_ip_proto_from_name(text, proto);
	for (size_t i = 0; i < digits; i++)
		number = number * 10 + (unsigned)(text[i] - '0');
	if (number > UINT8_MAX)
		return -1;
	*proto = (uint8_t)number;
	return 0;
}

bool addr_ip_proto_has_ports(uint8_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP;
}

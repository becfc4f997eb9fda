/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_ADDR_PROTO_H
#define WEFT_BASE_ADDR_PROTO_H

/*
 * The protocols above IPv4 (IPPROTO_*) as policies name them: tcp, udp, icmp, gre, esp, ah and sctp, any other by its number.
 * Pure; any thread.
 */

#include <stdbool.h>
#include <stdint.h>

#define ADDR_IP_PROTO_ALLOWED "tcp, udp, icmp, gre, esp, ah, sctp or a number from 0 to 255"

enum { ADDR_IP_PROTO_TEXT_SIZE = 8 };

/* The protocol's name; NULL: it has none. */
const char *addr_ip_proto_name(uint8_t proto);

/* Writes its name, or its number. Returns TEXT. */
const char *addr_ip_proto_format(uint8_t proto, char text[static ADDR_IP_PROTO_TEXT_SIZE]);

/* Reads a name. 0 and *PROTO, or -1: TEXT is none. */
int addr_ip_proto_from_name(const char *text, uint8_t *proto);

/* Reads a name or a number. 0 and *PROTO, or -1: TEXT is neither. */
int addr_ip_proto_parse(const char *text, uint8_t *proto);

/* Whether the protocol has ports that policies know: TCP and UDP. */
bool addr_ip_proto_has_ports(uint8_t proto);

#endif

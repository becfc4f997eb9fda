/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_PROXY_V2_H
#define WEFT_BASE_PROXY_V2_H

/*
 * The layout of a header of the PROXY protocol, version 2 (section 2.2 of HAProxy's doc/proxy-protocol.txt): 12 bytes of signature,
 * version and command, family and transport, the length of what follows in network order; then the family's block of addresses
 * and ports, and TLVs (a type, a length of 16 bits, as many bytes) to the last byte.
 */

#define PROXY_V2_SIGNATURE "\r\n\r\n\0\r\nQUIT\n" /* and a byte 0 behind it, which does not count */

enum {
	PROXY_V2_SIGNATURE_SIZE = 12,
	PROXY_V2_VERSION_AT = 12, /* in the upper four bits, and the command in the lower */
	PROXY_V2_FAMILY_AT = 13,  /* and the transport */
	PROXY_V2_LENGTH_AT = 14,
	PROXY_V2_HEAD_SIZE = 16,

	PROXY_V2_VERSION = 0x2,
	PROXY_V2_COMMAND_PROXY = 0x1,

	PROXY_V2_UNSPECIFIED = 0x00,
	PROXY_V2_STREAM_IPV4 = 0x11,
	PROXY_V2_STREAM_IPV6 = 0x21,
	PROXY_V2_STREAM_UNIX = 0x31,

	PROXY_V2_TLV_HEAD_SIZE = 3,
	PROXY_V2_UNIQUE_ID = 0x05,    /* PP2_TYPE_UNIQUE_ID */
	PROXY_V2_SANDBOX_NAME = 0xe0, /* the first type that is left to applications */
};

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Layout: 12 bytes of signature, version and command, family and transport, length of what follows, then the addresses and
 * ports in network order. Values of a type, a length of 16 bits and as many bytes may follow.
 */
#include "forwarder/proxy_header.h"

#include <arpa/inet.h>
#include <string.h>

enum {
	VERSION_2_PROXY = 0x21,
	STREAM_OVER_IPV4 = 0x11,
	STREAM_OVER_IPV6 = 0x21,
	TYPE_UNIQUE_ID = 0x05,
	TYPE_SANDBOX_NAME = 0xe0,
	LENGTH_AT = 14,
	ADDRESSES_AT = 16,
};

static const char signature[12] = { '\r', '\n', '\r', '\n', '\0', '\r', '\n', 'Q', 'U', 'I', 'T', '\n' };

static char *fwd_proxy_header_put(char *at, const void *bytes, size_t size)
{
	memcpy(at, bytes, size);
	return at + size;
}

static char *fwd_proxy_header_put16(char *at, uint16_t value)
{
	uint16_t network = htons(value);

	return fwd_proxy_header_put(at, &network, sizeof(network));
}

size_t fwd_proxy_header_write(const struct addr *client, const struct addr *listen,
			      char header[static PROXY_HEADER_MAX])
{
	bool ipv6 = client->any.sa_family == AF_INET6;
	char *at = fwd_proxy_header_put(header, signature, sizeof(signature));

	*at++ = VERSION_2_PROXY;
	*at++ = ipv6 ? STREAM_OVER_IPV6 : STREAM_OVER_IPV4;
	at = fwd_proxy_header_put16(at, ipv6 ? 36 : 12);
	if (ipv6) {
		at = fwd_proxy_header_put(at, &client->in6.sin6_addr, sizeof(client->in6.sin6_addr));
		at = fwd_proxy_header_put(at, &listen->in6.sin6_addr, sizeof(listen->in6.sin6_addr));
	} else {
		at = fwd_proxy_header_put(at, &client->in.sin_addr, sizeof(client->in.sin_addr));
		at = fwd_proxy_header_put(at, &listen->in.sin_addr, sizeof(listen->in.sin_addr));
	}
	at = fwd_proxy_header_put16(at, addr_port(client));
	at = fwd_proxy_header_put16(at, addr_port(listen));
	return (size_t)(at - header);
}

static char *fwd_proxy_header_put_text(char *at, uint8_t type, const char *text)
{
	size_t size = strnlen(text, PROXY_TEXT_MAX);

	*at++ = (char)type;
	at = fwd_proxy_header_put16(at, (uint16_t)size);
	return fwd_proxy_header_put(at, text, size);
}

size_t fwd_proxy_header_add_sandbox(char header[static PROXY_HEADER_MAX], size_t size, const char *id, const char *name)
{
	char *at = fwd_proxy_header_put_text(header + size, TYPE_UNIQUE_ID, id);

	if (name[0])
		at = fwd_proxy_header_put_text(at, TYPE_SANDBOX_NAME, name);
	fwd_proxy_header_put16(header + LENGTH_AT, (uint16_t)(at - header - ADDRESSES_AT));
	return (size_t)(at - header);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Layout: 12 bytes of signature, version and command, family and transport, length of what follows, then the addresses and
 * ports in network order.
 */
#include "forwarder/proxy_header.h"

#include <arpa/inet.h>
#include <string.h>

enum {
	VERSION_2_PROXY = 0x21,
	STREAM_OVER_IPV4 = 0x11,
	STREAM_OVER_IPV6 = 0x21,
};

static const char signature[12] = { '\r', '\n', '\r', '\n', '\0', '\r', '\n', 'Q', 'U', 'I', 'T', '\n' };

static char *fwd_proxy_header_put(char *at, const void *bytes, size_t size)
{
	memcpy(at, bytes, size);
	return at + size;
}

static char *fwd_proxy_header_put_port(char *at, uint16_t port)
{
	uint16_t network = htons(port);

	return fwd_proxy_header_put(at, &network, sizeof(network));
}

size_t fwd_proxy_header_write(const struct addr *client, const struct addr *listen,
			      char header[static PROXY_HEADER_MAX])
{
	bool ipv6 = client->any.sa_family == AF_INET6;
	char *at = fwd_proxy_header_put(header, signature, sizeof(signature));

	*at++ = VERSION_2_PROXY;
	*at++ = ipv6 ? STREAM_OVER_IPV6 : STREAM_OVER_IPV4;
	at = fwd_proxy_header_put_port(at, ipv6 ? 36 : 12); /* the length is a 16-bit number like a port */
	if (ipv6) {
		at = fwd_proxy_header_put(at, &client->in6.sin6_addr, sizeof(client->in6.sin6_addr));
		at = fwd_proxy_header_put(at, &listen->in6.sin6_addr, sizeof(listen->in6.sin6_addr));
	} else {
		at = fwd_proxy_header_put(at, &client->in.sin_addr, sizeof(client->in.sin_addr));
		at = fwd_proxy_header_put(at, &listen->in.sin_addr, sizeof(listen->in.sin_addr));
	}
	at = fwd_proxy_header_put_port(at, addr_port(client));
	at = fwd_proxy_header_put_port(at, addr_port(listen));
	return (size_t)(at - header);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is written is laid out in base/proxy_v2.h. */
#include "forwarder/proxy_header.h"

#include "base/proxy_v2.h"

#include <arpa/inet.h>
#include <string.h>

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
	char *at = fwd_proxy_header_put(header, PROXY_V2_SIGNATURE, PROXY_V2_SIGNATURE_SIZE);

	*at++ = PROXY_V2_VERSION << 4 | PROXY_V2_COMMAND_PROXY;
	*at++ = ipv6 ? PROXY_V2_STREAM_IPV6 : PROXY_V2_STREAM_IPV4;
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
	char *at = fwd_proxy_header_put_text(header + size, PROXY_V2_UNIQUE_ID, id);

	if (name[0])
		at = fwd_proxy_header_put_text(at, PROXY_V2_SANDBOX_NAME, name);
	fwd_proxy_header_put16(header + PROXY_V2_LENGTH_AT, (uint16_t)(at - header - PROXY_V2_HEAD_SIZE));
	return (size_t)(at - header);
}

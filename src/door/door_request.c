/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The layout is in base/proxy_v2.h.
 *
 * HAProxy alone is to connect here, so whatever it would not write is refused: each connection that comes through has one reading, and a
 * request that somebody smuggled into a field is none. TLVs of other types are passed over, for they are an administrator's to add.
 */
#include "door/door_request.h"

#include "base/base64.h"
#include "base/proxy_v2.h"

#include <string.h>

enum { UNIQUE_ID_MAX = 128 };

/* Bytes that are still to be read. */
struct door_cursor {
	const uint8_t *at;
	size_t left;
};

static uint16_t door_request_number(const uint8_t bytes[static 2])
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static int door_request_fault(const char **fault, const char *text)
{
	*fault = text;
	return -1;
}

size_t door_request_size(const uint8_t head[static DOOR_HEAD_SIZE], const char **fault)
{
	size_t size = DOOR_HEAD_SIZE + (size_t)door_request_number(head + PROXY_V2_LENGTH_AT);

	if (memcmp(head, PROXY_V2_SIGNATURE, PROXY_V2_SIGNATURE_SIZE) != 0) {
		*fault = "it does not begin with a header of the PROXY protocol, version 2";
		return 0;
	}
	if (head[PROXY_V2_VERSION_AT] >> 4 != PROXY_V2_VERSION) {
		*fault = "its header is of another version of the PROXY protocol than 2";
		return 0;
	}
	if (size > DOOR_HEADER_MAX) {
		*fault = "its header is too long";
		return 0;
	}
	return size;
}

/* The size of a family's block of addresses; -1: there is no such family here. */
static int door_request_address_size(uint8_t family)
{
	switch (family) {
	case PROXY_V2_UNSPECIFIED:
		return 0;
	case PROXY_V2_STREAM_IPV4:
		return 2 * 4 + 2 * 2;
	case PROXY_V2_STREAM_IPV6:
		return 2 * 16 + 2 * 2;
	case PROXY_V2_STREAM_UNIX:
		return 2 * 108;
	}
	return -1;
}

/* The source's address stands first in a block, its port behind both addresses. */
static void door_request_read_client(uint8_t family, const uint8_t *block, struct addr *client)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (family == PROXY_V2_STREAM_IPV4) {
		client->in.sin_family = AF_INET;
		memcpy(&client->in.sin_addr, block, 4);
		memcpy(&client->in.sin_port, block + 8, 2);
	} else if (family == PROXY_V2_STREAM_IPV6 && memcmp(block, mapped, sizeof(mapped)) == 0) {
		client->in.sin_family = AF_INET;
		memcpy(&client->in.sin_addr, block + sizeof(mapped), 4);
		memcpy(&client->in.sin_port, block + 32, 2);
	} else if (family == PROXY_V2_STREAM_IPV6) {
		client->in6.sin6_family = AF_INET6;
		memcpy(&client->in6.sin6_addr, block, 16);
		memcpy(&client->in6.sin6_port, block + 32, 2);
	}
}

/* Finds the only unique id among the TLVs, which must fill what is LEFT. */
static int door_request_find_id(struct door_cursor tlvs, struct door_cursor *id, const char **fault)
{
	*id = (struct door_cursor){ 0 };
	while (tlvs.left) {
		if (tlvs.left < PROXY_V2_TLV_HEAD_SIZE)
			return door_request_fault(fault, "a TLV of its header is cut");

		uint8_t type = tlvs.at[0];
		size_t size = door_request_number(tlvs.at + 1);

		if (size > tlvs.left - PROXY_V2_TLV_HEAD_SIZE)
			return door_request_fault(fault, "a TLV of its header is cut");
		if (type == PROXY_V2_UNIQUE_ID && id->at)
			return door_request_fault(fault, "its header has two unique ids");
		if (type == PROXY_V2_UNIQUE_ID)
			*id = (struct door_cursor){ tlvs.at + PROXY_V2_TLV_HEAD_SIZE, size };
		tlvs.at += PROXY_V2_TLV_HEAD_SIZE + size;
		tlvs.left -= PROXY_V2_TLV_HEAD_SIZE + size;
	}
	if (!id->at)
		return door_request_fault(fault, "its header has no unique id");
	if (id->left > UNIQUE_ID_MAX)
		return door_request_fault(fault, "the unique id of its header is too long");
	return 0;
}

/* Takes a field from TEXT, to the next '/', which goes too, or to the end. Returns whether there was a '/'. */
static bool door_request_take_field(struct door_cursor *text, struct door_cursor *field)
{
	const uint8_t *slash = text->left ? memchr(text->at, '/', text->left) : NULL;
	size_t length = slash ? (size_t)(slash - text->at) : text->left;

	*field = (struct door_cursor){ text->at, length };
	text->at += length + (slash ? 1 : 0);
	text->left -= length + (slash ? 1 : 0);
	return slash;
}

static int door_request_read_kind(struct door_cursor field, enum door_kind *kind)
{
	if (field.left != 1)
		return -1;
	switch (field.at[0]) {
	case DOOR_HTTP:
	case DOOR_GRPC:
	case DOOR_TCP:
		*kind = (enum door_kind)field.at[0];
		return 0;
	}
	return -1;
}

static int door_request_read_name(struct door_cursor field, char name[static DOOR_NAME_MAX + 1])
{
	if (!base_name_is_valid((const char *)field.at, field.left))
		return -1;
	memcpy(name, field.at, field.left);
	name[field.left] = '\0';
	return 0;
}

/* The rest of TEXT is a token; it may have a '/' of its own, which is a character of base64. */
static int door_request_read_token(struct door_cursor text, struct door_token *token)
{
	token->given = text.left > 0;
	if (!token->given)
		return 0;
	ssize_t size = base_base64_read((const char *)text.at, text.left, token->sha256, sizeof(token->sha256));
	return size == (ssize_t)sizeof(token->sha256) ? 0 : -1;
}

static int door_request_read_id(struct door_cursor text, struct door_request *request, const char **fault)
{
	struct door_cursor field;

	if (!door_request_take_field(&text, &field) || door_request_read_kind(field, &request->kind) < 0)
		return door_request_fault(fault, "the unique id of its header has no kind");
	if (!door_request_take_field(&text, &field) || door_request_read_name(field, request->name) < 0)
		return door_request_fault(fault, "the unique id of its header has no valid sandbox");

	bool more = door_request_take_field(&text, &field);

	if (addr_port_parse((const char *)field.at, field.left, &request->port) < 0)
		return door_request_fault(fault, "the unique id of its header has no valid port");
	if (more != (request->kind != DOOR_TCP) || door_request_read_token(text, &request->token) < 0)
		return door_request_fault(fault, "the unique id of its header has no valid token");
	return 0;
}

int door_request_read(const uint8_t *header, size_t size, struct door_request *request, const char **fault)
{
	uint8_t family = header[PROXY_V2_FAMILY_AT];
	int address_size = door_request_address_size(family);
	struct door_cursor rest = { header + DOOR_HEAD_SIZE, size - DOOR_HEAD_SIZE };
	struct door_cursor id;

	memset(request, 0, sizeof(*request));
	if ((header[PROXY_V2_VERSION_AT] & 0xf) != PROXY_V2_COMMAND_PROXY)
		return door_request_fault(fault, "its header is for no client: its command is not PROXY");
	if (address_size < 0)
		return door_request_fault(fault, "its header is for another kind of connection than a stream");
	if ((size_t)address_size > rest.left)
		return door_request_fault(fault, "the addresses of its header are cut");
	door_request_read_client(family, rest.at, &request->client);
	rest.at += address_size;
	rest.left -= (size_t)address_size;
	if (door_request_find_id(rest, &id, fault) < 0)
		return -1;
	return door_request_read_id(id, request, fault);
}

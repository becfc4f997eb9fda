/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as the first ones of a client at the door, and as the frames of one that is refused. A header that is accepted has exactly one
 * unique id, which is what its parts say when they are put together again. Frames read whole, bytewise and in parts of a size
 * that the last byte sets say the same.
 */
#include "base/base64.h"
#include "door/door_request.h"
#include "door/h2.h"
#include "door/judge.h"
#include "fuzz.h"

#include <stdio.h>

enum { TEXT_MAX = 256 };

/* The unique id that REQUEST was; returns its size. */
static size_t put_together(const struct door_request *request, char text[static TEXT_MAX])
{
	char token[BASE64_LENGTH(DOOR_TOKEN_SIZE) + 1] = "";

	if (request->token.given)
		base_base64_write(request->token.sha256, sizeof(request->token.sha256), token);
	int size = snprintf(text, TEXT_MAX, "%c/%s/%u%s%s", (char)request->kind, request->name, (unsigned)request->port,
			    request->kind == DOOR_TCP ? "" : "/", token);
	fuzz_check(size > 0 && size <= 128);
	return (size_t)size;
}

/* That TEXT is the value of a TLV of HEADER. */
static void find(const uint8_t *header, size_t size, const char *text, size_t length)
{
	const uint8_t head[3] = { 0x05, 0, (uint8_t)length };
	const uint8_t *at = header + DOOR_HEAD_SIZE;

	while ((at = memmem(at, (size_t)(header + size - at), head, sizeof(head)))) {
		at += sizeof(head);
		if ((size_t)(header + size - at) >= length && memcmp(at, text, length) == 0)
			return;
	}
	fuzz_check(false);
}

static void check_request(const uint8_t *header, size_t size, const struct door_request *request)
{
	char text[TEXT_MAX];
	struct door_policy policy = { .has_token = request->token.given };
	int family = request->client.any.sa_family;

	find(header, size, text, put_together(request, text));
	fuzz_check(request->port && request->name[0]);
	fuzz_check(family == AF_UNSPEC || family == AF_INET || family == AF_INET6);
	memcpy(policy.token_sha256, request->token.sha256, sizeof(policy.token_sha256));
	bool free = request->port == DOOR_FREE_PORT;
	enum door_verdict wanted = free || request->token.given ? DOOR_LET_IN : DOOR_NO_TOKEN;
	fuzz_check(door_judge(&policy, request->port, &request->token) == wanted);
	policy.token_sha256[0] ^= 1;
	wanted = free ? DOOR_LET_IN : request->token.given ? DOOR_WRONG_TOKEN : DOOR_NO_TOKEN;
	fuzz_check(door_judge(&policy, request->port, &request->token) == wanted);
}

/* As the forwarder reads: the head, then as much as it says. Copies have exact sizes, so that a sanitizer sees what reads beyond. */
static void try_request(const uint8_t *data, size_t size)
{
	struct door_request request;
	const char *fault = NULL;

	if (size < DOOR_HEAD_SIZE)
		return;
	uint8_t *head = memcpy(malloc(DOOR_HEAD_SIZE), data, DOOR_HEAD_SIZE);
	size_t whole = door_request_size(head, &fault);
	free(head);
	fuzz_check(whole ? !fault && whole >= DOOR_HEAD_SIZE && whole <= DOOR_HEADER_MAX : fault != NULL);
	if (!whole || whole > size)
		return;
	uint8_t *header = memcpy(malloc(whole), data, whole);
	int read = door_request_read(header, whole, &request, &fault);
	fuzz_check(read == 0 ? !fault : read == -1 && fault);
	if (read == 0)
		check_request(header, whole, &request);
	free(header);
}

static void check_agree(const struct door_h2 *a, const struct door_h2 *b)
{
	fuzz_check(a->asked == b->asked && a->bad == b->bad && !(a->asked && a->bad));
}

static struct door_h2 read_in_parts(const uint8_t *data, size_t size, size_t part)
{
	struct door_h2 reader = { 0 };
	bool asked = false;

	for (size_t at = 0; at < size; at += part) {
		bool now = door_h2_read(&reader, data + at, size - at < part ? size - at : part);

		fuzz_check(now == reader.asked && (now || !asked));
		asked = now;
	}
	return reader;
}

static void try_frames(const uint8_t *data, size_t size)
{
	struct door_h2 whole = read_in_parts(data, size, size ? size : 1);
	struct door_h2 bytewise = read_in_parts(data, size, 1);
	struct door_h2 parts = read_in_parts(data, size, size ? data[size - 1] + 1U : 1);

	check_agree(&whole, &bytewise);
	check_agree(&whole, &parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	try_request(data, size);
	try_frames(data, size);
	return 0;
}

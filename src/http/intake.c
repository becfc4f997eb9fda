/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request is collected in one piece of memory that grows with it, at most to a head, a body and a little framing. It is judged
 * each time bytes have come, so that a request which will be refused is refused as early as possible and is not kept.
 */
#include "http/intake.h"

#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

enum {
	TEXT_MIN = 2048,
	TEXT_MAX = HEAD_MAX + INTAKE_BODY_MAX + 4 * CHUNK_LINE_MAX, /* of a request while it is collected */
};

/* Moves INPUT into the text as far as the text has room. 1: bytes were moved; 0: none; -1: for want of memory. */
static int http_intake_collect(struct intake *intake, struct evbuffer *input)
{
	size_t have = evbuffer_get_length(input);
	size_t wanted = intake->text_length + have < TEXT_MAX ? intake->text_length + have : TEXT_MAX;
	size_t size = intake->text_size ? intake->text_size : TEXT_MIN;

	if (wanted == intake->text_length)
		return 0;
	while (size < wanted)
		size *= 2;
	if (size > intake->text_size) {
		char *text = realloc(intake->text, size);
		if (!text)
			return -1;
		intake->text = text;
		intake->text_size = size;
	}
	int moved = evbuffer_remove(input, intake->text + intake->text_length, wanted - intake->text_length);
	if (moved <= 0)
		return 0;
	intake->text_length += (size_t)moved;
	return 1;
}

static enum intake_verdict http_intake_refuse(struct intake_refusal *refusal, int status, const char *detail)
{
	*refusal = (struct intake_refusal){ status, detail };
	return INTAKE_REFUSED;
}

static enum intake_verdict http_intake_read_head(struct intake *intake, struct intake_refusal *refusal)
{
	switch (http_head_read(intake->text, intake->text_length, &intake->head)) {
	case HEAD_MORE:
		return INTAKE_MORE;
	case HEAD_NOT_HTTP:
		return http_intake_refuse(refusal, 400, NULL);
	case HEAD_BAD:
		return http_intake_refuse(refusal, 400, intake->head.detail);
	case HEAD_TOO_LONG:
		return http_intake_refuse(refusal, 431,
					  "the request's head is longer than 16 KiB or has more than 100 fields");
	case HEAD_ENCODED:
		return http_intake_refuse(refusal, 415, "the body has a Content-Encoding, and only plain JSON is read");
	case HEAD_COMPLETE:
		break;
	}
	intake->has_head = true;
	intake->target_at = (size_t)(intake->head.target - intake->text);
	intake->chunks = (struct chunks){ 0 };
	return INTAKE_COMPLETE;
}

static enum intake_verdict http_intake_read_body(struct intake *intake, struct intake_refusal *refusal)
{
	static const char too_large[] = "the body is longer than 64 KiB";
	const struct head *head = &intake->head;
	size_t have = intake->text_length - head->length;

	if (!head->chunked) {
		if (head->content_length > INTAKE_BODY_MAX)
			return http_intake_refuse(refusal, 413, too_large);
		intake->request_length = head->length + (size_t)head->content_length;
		return have >= head->content_length ? INTAKE_COMPLETE : INTAKE_MORE;
	}

	enum chunk_verdict verdict =
	    http_chunks_read(&intake->chunks, intake->text + head->length, &have, INTAKE_BODY_MAX);
	intake->text_length = head->length + have;
	intake->request_length = head->length + intake->chunks.body;
	switch (verdict) {
	case CHUNK_MORE:
		break;
	case CHUNK_COMPLETE:
		return INTAKE_COMPLETE;
	case CHUNK_BAD:
		return http_intake_refuse(refusal, 400, "the body's chunks are malformed");
	case CHUNK_TOO_LONG:
		return http_intake_refuse(refusal, 413, too_large);
	}
	return INTAKE_MORE;
}

static enum intake_verdict http_intake_judge(struct intake *intake, struct intake_refusal *refusal)
{
	if (!intake->text_length)
		return INTAKE_MORE;
	if (!intake->has_head) {
		enum intake_verdict verdict = http_intake_read_head(intake, refusal);
		if (verdict != INTAKE_COMPLETE)
			return verdict;
	}
	return http_intake_read_body(intake, refusal);
}

/* Chunks shrink when they are decoded, so that more of the input may find room afterwards. */
enum intake_verdict http_intake_read(struct intake *intake, struct evbuffer *input, struct intake_refusal *refusal)
{
	enum intake_verdict verdict;
	int moved;

	do {
		moved = http_intake_collect(intake, input);
		verdict = http_intake_judge(intake, refusal);
	} while (verdict == INTAKE_MORE && moved > 0 && evbuffer_get_length(input));
	if (verdict == INTAKE_MORE && moved < 0)
		return http_intake_refuse(refusal, 503, "out of memory");
	return verdict;
}

bool http_intake_expects_continue(const struct intake *intake)
{
	return intake->has_head && intake->head.expect_continue;
}

const char *http_intake_target(const struct intake *intake)
{
	return intake->text + intake->target_at;
}

const char *http_intake_body(const struct intake *intake, size_t *length)
{
	*length = intake->request_length - intake->head.length;
	return intake->text + intake->head.length;
}

void http_intake_drop(struct intake *intake)
{
	intake->has_head = false;
	intake->text_length -= intake->request_length;
	memmove(intake->text, intake->text + intake->request_length, intake->text_length);
	if (!intake->text_length)
		http_intake_free(intake);
}

void http_intake_free(struct intake *intake)
{
	free(intake->text);
	intake->text = NULL;
	intake->text_length = intake->text_size = 0;
}

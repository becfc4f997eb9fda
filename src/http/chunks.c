/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A chunked body is decoded in place as it comes. The framing between chunks is dropped at once, so that the buffer holds
 * the body and little more however small the chunks are.
 */
#include "http/head.h"

#include <string.h>

/* Reads the size line of a chunk; extensions are ignored. 0, or -1: it is no such line. */
static int http_chunk_read_size(const char *line, size_t length, uint64_t *size)
{
	size_t digits = 0;

	*size = 0;
	for (; digits < length; digits++) {
		char c = line[digits];
		unsigned value;
		if (c >= '0' && c <= '9')
			value = (unsigned)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			value = (unsigned)((c | 0x20) - 'a') + 10;
		else
			break;
		if (digits == 15)
			return -1;
		*size = *size * 16 + value;
	}
	if (!digits || (digits < length && line[digits] != ';' && line[digits] != ' ' && line[digits] != '\t'))
		return -1;
	return 0;
}

/*
 * Reads the line at BYTES. 1 with its length without and (*TAKEN) with its CRLF; 0 while the line is not complete; -1 if it
 * is too long or ends in a bare LF.
 */
static int http_chunk_take_line(const char *bytes, size_t length, size_t *line_length, size_t *taken)
{
	const char *end = memchr(bytes, '\n', length);

	if (!end)
		return length > CHUNK_LINE_MAX ? -1 : 0;
	*taken = (size_t)(end - bytes) + 1;
	if (*taken > CHUNK_LINE_MAX || *taken < 2 || end[-1] != '\r')
		return -1;
	*line_length = *taken - 2;
	return 1;
}

/* Takes one step over the raw bytes. CHUNK_MORE with *TAKEN 0: more must come first. */
static enum chunk_verdict http_chunk_step(struct chunks *chunks, char *bytes, size_t raw_at, size_t length,
					  size_t limit, size_t *taken)
{
	size_t line_length, have = length - raw_at;

	*taken = 0;
	if (chunks->at == CHUNK_AT_DATA) {
		size_t take = have < chunks->left ? have : (size_t)chunks->left;
		memmove(bytes + chunks->body, bytes + raw_at, take);
		chunks->body += take;
		chunks->left -= take;
		*taken = take;
		if (!chunks->left)
			chunks->at = CHUNK_AT_END;
		return CHUNK_MORE;
	}

	int got = http_chunk_take_line(bytes + raw_at, have, &line_length, taken);
	if (got <= 0) {
		*taken = 0;
		return got < 0 ? CHUNK_BAD : CHUNK_MORE;
	}
	if (chunks->at == CHUNK_AT_END) {
		chunks->at = CHUNK_AT_SIZE;
		return line_length ? CHUNK_BAD : CHUNK_MORE;
	}
	if (chunks->at == CHUNK_AT_TRAILER) {
		if (line_length && ++chunks->trailers > HEAD_TRAILER_LINES_MAX)
			return CHUNK_BAD;
		return line_length ? CHUNK_MORE : CHUNK_COMPLETE;
	}
	if (http_chunk_read_size(bytes + raw_at, line_length, &chunks->left) < 0)
		return CHUNK_BAD;
	if (chunks->left > limit - chunks->body)
		return CHUNK_TOO_LONG;
	chunks->at = chunks->left ? CHUNK_AT_DATA : CHUNK_AT_TRAILER;
	return CHUNK_MORE;
}

enum chunk_verdict http_chunks_read(struct chunks *chunks, char *bytes, size_t *length, size_t limit)
{
	size_t raw_at = chunks->body, taken;
	enum chunk_verdict verdict = CHUNK_MORE;

	while (raw_at < *length && verdict == CHUNK_MORE) {
		verdict = http_chunk_step(chunks, bytes, raw_at, *length, limit, &taken);
		if (!taken)
			break;
		raw_at += taken;
	}
	chunks->raw = *length - raw_at;
	memmove(bytes + chunks->body, bytes + raw_at, chunks->raw);
	*length = chunks->body + chunks->raw;
	return verdict;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as a chunked body; the first byte sets the size of the pieces in which it arrives. However the body is cut, the
 * verdict and the decoded bytes must be the same, within the limit.
 */
#include "fuzz.h"
#include "http/head.h"

enum { LIMIT = 1000 };

static enum chunk_verdict decode(const uint8_t *data, size_t size, size_t step, char *bytes, struct chunks *chunks)
{
	size_t length = 0;
	enum chunk_verdict verdict = CHUNK_MORE;

	*chunks = (struct chunks){ 0 };
	for (size_t at = 0; at < size && verdict == CHUNK_MORE; at += step) {
		size_t piece = size - at < step ? size - at : step;
		memcpy(bytes + length, data + at, piece);
		length += piece;
		verdict = http_chunks_read(chunks, bytes, &length, LIMIT);
		fuzz_check(chunks->body <= LIMIT && chunks->body + chunks->raw == length);
		fuzz_check(verdict != CHUNK_MORE || chunks->raw <= CHUNK_LINE_MAX);
	}
	return verdict;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct chunks whole, pieces;

	if (size < 2)
		return 0;
	char *a = malloc(size), *b = malloc(size);
	fuzz_check(a && b);
	enum chunk_verdict first = decode(data + 1, size - 1, size - 1, a, &whole);
	enum chunk_verdict second = decode(data + 1, size - 1, (size_t)data[0] + 1, b, &pieces);

	fuzz_check(first == second);
	if (first == CHUNK_COMPLETE || first == CHUNK_MORE)
		fuzz_check(whole.body == pieces.body && !memcmp(a, b, whole.body));
	free(a);
	free(b);
	return 0;
}

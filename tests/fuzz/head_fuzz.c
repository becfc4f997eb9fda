/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as a request's head. Reading byte by byte must reach the same verdict as reading the whole, and further bytes
 * must not change it.
 */
#include "fuzz.h"
#include "http/head.h"

static void check_complete(const struct head *head, const char *bytes, size_t length)
{
	fuzz_check(head->length > 0 && head->length <= length && head->length <= HEAD_MAX);
	fuzz_check(head->target >= bytes && head->target + head->target_length <= bytes + head->length);
	fuzz_check(head->minor <= 1);
	fuzz_check(memchr(head->host, '\0', sizeof(head->host)) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *bytes = malloc(size ? size : 1);
	struct head head = { 0 }, partial = { 0 };

	fuzz_check(bytes);
	if (size)
		memcpy(bytes, data, size);
	enum head_verdict whole = http_head_read(bytes, size, &head), step = HEAD_MORE;
	if (whole == HEAD_COMPLETE)
		check_complete(&head, bytes, size);
	if (whole == HEAD_BAD)
		fuzz_check(head.detail != NULL);
	for (size_t length = 0; length <= size && step == HEAD_MORE; length++)
		step = http_head_read(bytes, length, &partial);
	fuzz_check(step == whole);
	if (whole == HEAD_COMPLETE)
		fuzz_check(partial.length == head.length && partial.method == head.method &&
			   partial.content_length == head.content_length && partial.chunked == head.chunked);
	free(bytes);
	return 0;
}

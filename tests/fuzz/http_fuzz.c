/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as a response to weftctl. Fed whole and fed byte by byte, the verdict and the body must be the same.
 */
#include "base/err.h"
#include "client/response.h"
#include "fuzz.h"

struct outcome {
	int fed, ended;
	unsigned status;
	size_t length;
	uint32_t sum;
};

static bool take_body(void *context, const char *data, size_t length)
{
	struct outcome *outcome = context;

	outcome->length += length;
	for (size_t i = 0; i < length; i++)
		outcome->sum = outcome->sum * 31 + (unsigned char)data[i];
	return true;
}

static struct outcome feed(const uint8_t *data, size_t size, size_t step)
{
	static struct client_response response;
	struct outcome outcome = { 0 };
	struct err err = { 0 };

	client_response_init(&response, take_body, &outcome);
	for (size_t at = 0; at < size && outcome.fed == 0; at += step) {
		size_t length = size - at < step ? size - at : step;
		char *piece = fuzz_text(data + at, length);

		outcome.fed = client_response_feed(&response, piece, length, &err);
		free(piece);
	}
	if (outcome.fed == 0)
		outcome.ended = client_response_end(&response, &err);
	fuzz_check((outcome.fed == 0 && outcome.ended == 0) || err.text[0]);
	outcome.status = response.status;
	return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome whole = feed(data, size, size ? size : 1), bytes = feed(data, size, 1);

	fuzz_check(whole.fed == bytes.fed && whole.ended == bytes.ended);
	if (whole.fed == 0)
		fuzz_check(whole.status == bytes.status && whole.length == bytes.length && whole.sum == bytes.sum);
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config/config.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A configuration is taken or refused with reasons; never both, never neither. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_mistakes mistakes = { 0 };
	FILE *stream = size ? fmemopen((void *)data, size, "r") : fopen("/dev/null", "re");

	if (!stream)
		abort();
	struct config *config = config_load_stream(stream, "fuzz", &mistakes);
	if (!config == !mistakes.count)
		abort();
	config_free(config);
	config_mistakes_clear(&mistakes);
	fclose(stream);
	return 0;
}

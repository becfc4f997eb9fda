/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FUZZ_H
#define WEFT_FUZZ_H

#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Each NAME_fuzz.c defines this; libFuzzer or replay.c calls it. Returns 0; a fault aborts. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Aborts the program if CONDITION does not hold: the input is then a finding. */
#define fuzz_check(condition)                                                                                          \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			abort();                                                                                       \
	} while (0)

/* The function of a shared library in whose place a target defines one of that NAME. */
#define fuzz_real(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Returns the input as a malloc()ed string. A NUL byte in the input ends it. */
static inline char *fuzz_text(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	fuzz_check(text);
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

#endif

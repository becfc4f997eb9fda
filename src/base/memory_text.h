/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_MEMORY_TEXT_H
#define WEFT_BASE_MEMORY_TEXT_H

/*
 * A text that is written with stdio and grows in memory, as open_memstream() makes one, but its writer learns that memory was lacking:
 * glibc's loses the bytes and reports no error, neither by ferror() nor by fclose(). One thread at a time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct base_text {
	char *bytes;
	size_t length, size;
	bool failed;
};

/* Begins TEXT, which stays where it is until base_text_close(). The stream to write to, or NULL with errno: no memory. */
FILE *base_text_open(struct base_text *text);

/* Closes OUT, the stream of TEXT. The whole text, terminated, for the caller to free, and its *LENGTH; NULL if memory was lacking. */
char *base_text_close(struct base_text *text, FILE *out, size_t *length);

#endif

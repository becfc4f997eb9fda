/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stream of fopencookie() whose writer appends. Once an append has failed all later ones fail, too, because a text with a hole is worse
 * than none.
 */
#include "base/memory_text.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

enum { SIZE_FIRST = 4096 };

/* Makes room for MORE bytes and the terminator. */
static bool base_text_grow(struct base_text *text, size_t more)
{
	size_t size = text->size ? text->size : SIZE_FIRST;

	while (size - text->length <= more) {
		if (size > SIZE_MAX / 2)
			return false;
		size *= 2;
	}
	if (size == text->size)
		return true;
	char *bytes = realloc(text->bytes, size);
	if (!bytes)
		return false;
	text->bytes = bytes;
	text->size = size;
	return true;
}

static ssize_t base_text_append(void *cookie, const char *bytes, size_t count)
{
	struct base_text *text = cookie;

	if (text->failed || !base_text_grow(text, count)) {
		text->failed = true;
		errno = ENOMEM;
		return 0; /* an error, for fopencookie() */
	}
	memcpy(text->bytes + text->length, bytes, count);
	text->length += count;
	return (ssize_t)count;
}

FILE *base_text_open(struct base_text *text)
{
	*text = (struct base_text){ 0 };
	return fopencookie(text, "w", (cookie_io_functions_t){ .write = base_text_append });
}

char *base_text_close(struct base_text *text, FILE *out, size_t *length)
{
	bool failed = fclose(out) != 0;

	if (failed || text->failed || !base_text_grow(text, 0)) {
		free(text->bytes);
		text->bytes = NULL;
		return NULL;
	}
	text->bytes[text->length] = '\0';
	*length = text->length;
	return text->bytes;
}

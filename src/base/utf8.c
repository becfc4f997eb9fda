/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * UTF-8 by hand instead of mbrtowc(): the text that reaches a log, a terminal or an answer must not depend on a locale.
 */
#include "base/utf8.h"

/* The pattern of a first byte, and the smallest character that needs so many bytes after it. */
static const struct utf8_form {
	unsigned char mask, lead;
	uint32_t smallest;
} utf8_forms[] = { { 0x80, 0x00, 0 }, { 0xe0, 0xc0, 0x80 }, { 0xf0, 0xe0, 0x800 }, { 0xf8, 0xf0, 0x10000 } };

enum { UTF8_FORMS = sizeof(utf8_forms) / sizeof(utf8_forms[0]) };

static size_t utf8_decode_form(const unsigned char *text, size_t extra, uint32_t *character)
{
	const struct utf8_form *form = &utf8_forms[extra];
	uint32_t point = *text & (unsigned char)~form->mask;

	for (size_t i = 1; i <= extra; i++) {
		if ((text[i] & 0xc0) != 0x80) /* also the end of the text */
			return 0;
		point = point << 6 | (text[i] & 0x3fu);
	}
	if (point < form->smallest || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
		return 0;
	if (character)
		*character = point;
	return extra + 1;
}

size_t utf8_decode(const char *text, uint32_t *character)
{
	const unsigned char *bytes = (const unsigned char *)text;

	for (size_t extra = 0; extra < UTF8_FORMS; extra++) {
		if ((*bytes & utf8_forms[extra].mask) == utf8_forms[extra].lead)
			return utf8_decode_form(bytes, extra, character);
	}
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Four characters are three bytes. The last four may end in one or two '=', which stand for bytes that are not there; the bits that
 * their neighbours then have too many must be zero, or several texts would be the same bytes.
 */
#include "base/base64.h"

#include <stdbool.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The six bits of a character; -1: it has none. */
static int base_base64_bits(char character)
{
	if (character >= 'A' && character <= 'Z')
		return character - 'A';
	if (character >= 'a' && character <= 'z')
		return character - 'a' + 26;
	if (character >= '0' && character <= '9')
		return character - '0' + 52;
	if (character == '+')
		return 62;
	return character == '/' ? 63 : -1;
}

/* How many bytes four characters are: 1 to 3, by their padding. It is refused elsewhere than in the LAST four. */
static size_t base_base64_count(const char four[static 4], bool last)
{
	if (!last || four[3] != '=')
		return 3;
	return four[2] == '=' ? 1 : 2;
}

/* Reads the COUNT bytes that FOUR characters are; returns 24 bits that begin with them, or -1. */
static int32_t base_base64_four(const char four[static 4], size_t count)
{
	uint32_t value = 0;

	for (size_t i = 0; i < 4; i++) {
		int bits = i <= count ? base_base64_bits(four[i]) : 0;

		if (bits < 0)
			return -1;
		value = value << 6 | (uint32_t)bits;
	}
	uint32_t beyond = (1U << 8 * (3 - count)) - 1;
	return value & beyond ? -1 : (int32_t)value;
}

ssize_t base_base64_read(const char *text, size_t length, uint8_t *out, size_t size)
{
	size_t done = 0;

	if (length % 4)
		return -1;
	for (size_t at = 0; at < length; at += 4) {
		size_t count = base_base64_count(text + at, at + 4 == length);
		int32_t value = base_base64_four(text + at, count);

		if (value < 0 || count > size - done)
			return -1;
		for (size_t i = 0; i < count; i++)
			out[done++] = (uint8_t)(value >> (16 - 8 * i));
	}
	return (ssize_t)done;
}

char *base_base64_write(const uint8_t *data, size_t size, char *text)
{
	char *at = text;

	for (size_t done = 0; done < size; done += 3) {
		size_t count = size - done < 3 ? size - done : 3;
		uint32_t value = 0;

		for (size_t i = 0; i < 3; i++)
			value = value << 8 | (i < count ? data[done + i] : 0);
		memset(at, '=', 4);
		for (size_t i = 0; i <= count; i++)
			at[i] = alphabet[value >> (18 - 6 * i) & 63];
		at += 4;
	}
	*at = '\0';
	return text;
}

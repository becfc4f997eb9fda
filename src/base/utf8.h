/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_UTF8_H
#define WEFT_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/*
 * Decodes the character that TEXT (ended by a NUL) begins with; CHARACTER, where not NULL, gets its code point. Returns its
 * length in bytes, or 0 if there is no well-formed one (RFC 3629: shortest form, no surrogates, at most U+10FFFF). A NUL is
 * a character of length 1. Nothing behind the NUL is read. Independent of the locale; any thread.
 */
size_t utf8_decode(const char *text, uint32_t *character);

#endif

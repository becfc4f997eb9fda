/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_BASE64_H
#define WEFT_BASE_BASE64_H

/*
 * Base64 of RFC 4648, section 4: the standard alphabet, padded. Bytes have one text alone: what base_base64_write() would not write,
 * base_base64_read() refuses. Pure; any thread.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The characters of SIZE bytes, without a NUL. */
#define BASE64_LENGTH(size) (((size) + 2) / 3 * 4)

/*
 * Reads the LENGTH characters at TEXT into OUT, which has room for SIZE bytes. Returns how many bytes they are; -1: more than SIZE, or
 * no such text. OUT has then some of the bytes. Its time depends on the characters, so it is for what its sender knows anyway.
 */
ssize_t base_base64_read(const char *text, size_t length, uint8_t *out, size_t size);

/* Writes SIZE bytes of DATA to TEXT, which has room for BASE64_LENGTH(SIZE) characters and the NUL that ends them. Returns TEXT. */
char *base_base64_write(const uint8_t *data, size_t size, char *text);

#endif

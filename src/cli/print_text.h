/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_PRINT_TEXT_H
#define WEFT_CLI_PRINT_TEXT_H

/*
 * Words and numbers as people read them. Strings from the daemon, which a client of the API may have chosen, are cleaned before
 * they reach a terminal, so that an escape sequence in a label does not write on an operator's screen.
 */

#include "base/memory_text.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* What vprintf() would write. The caller frees; aborts without memory. */
char *cli_text_format(const char *format, va_list args) __attribute__((format(printf, 1, 0)));

/* base_text_open() and base_text_close() for those who have no use for less than all: they abort without memory. */
FILE *cli_text_open(struct base_text *text);
char *cli_text_close(struct base_text *text, FILE *out);

/* TEXT with every control character written as \xNN and malformed UTF-8 as '?'. The caller frees; aborts without memory. */
char *cli_text_clean(const char *text);

/* Columns that TEXT (UTF-8) takes on a terminal, as far as the locale can tell; bytes where it cannot. */
size_t cli_text_width(const char *text);

/* The same for its first BYTES bytes. */
size_t cli_text_width_of(const char *text, size_t bytes);

/* Bytes of the longest beginning of TEXT that is at most COLUMNS wide. */
size_t cli_text_fit(const char *text, size_t columns);

/*
 * Where to break TEXT, of which COLUMNS fit into a line: at a blank or behind a comma, else in the middle of a word. Returns the
 * bytes of the line, at least one of a text that is not empty; *NEXT gets where the next line begins.
 */
size_t cli_text_break(const char *text, size_t columns, size_t *next);

enum { TEXT_NUMBER_SIZE = 32 };

/* 812B, 9.5KiB, 12MiB. Return TEXT. */
char *cli_text_bytes(double bytes, char text[static TEXT_NUMBER_SIZE]);

/* 812ms, 9.5s, 3m12s, 5h07m, 12d04h. */
char *cli_text_duration(uint64_t ms, char text[static TEXT_NUMBER_SIZE]);

/* How long ago RFC3339 was at NOW_MS (wall clock), as cli_text_duration(); "-" for NULL, the text itself where it is no time. */
char *cli_text_since(const char *rfc3339, int64_t now_ms, char text[static TEXT_NUMBER_SIZE]);

/* vprintf() to OUT, cleaned, without a newline of its own: those of FORMAT are kept, those of its arguments are not. */
void cli_text_print(FILE *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_SANDBOX_NAME_H
#define WEFT_BASE_SANDBOX_NAME_H

#include <stdbool.h>
#include <stddef.h>

enum { BASE_NAME_MAX = 64 };

/* No sandbox ever has it, as id or name: whoever checks the front door asks for it. */
#define BASE_NAME_OF_CHECKS "weftdoorcheck"

/*
 * Whether the LENGTH characters at TEXT may be the id or the name of a sandbox: a letter or digit, then letters, digits, '_', '.' and
 * '-', BASE_NAME_MAX at most. ASCII alone, whatever the locale. Pure; any thread.
 */
bool base_name_is_valid(const char *text, size_t length);

#endif

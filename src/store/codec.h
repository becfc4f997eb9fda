/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_STORE_CODEC_H
#define WEFT_STORE_CODEC_H

/*
 * The contents of one state file. For the store's own files, its test and its fuzz target. No I/O.
 */

#include "store/store.h"

#include <jansson.h>
#include <stddef.h>

enum { STORE_VERSION = 1 };

struct problem;

/* What is stored of SANDBOX. NULL only for lack of memory. */
json_t *store_encode(const struct sandbox *sandbox);

/*
 * Reads TEXT into STORED. 0, or -1 with PROBLEM: an unknown version is refused by name, before anything else is looked at.
 * store_item_clear() afterwards, in both cases.
 */
int store_decode(const char *text, size_t length, const struct config *config, struct stored *stored,
		 struct problem *problem);

/* Frees what STORED owns. */
void store_item_clear(struct stored *stored);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_STORE_CODEC_H
#define WEFT_STORE_CODEC_H

/*
 * The contents of one state file. For the files of the store, its test and its fuzz program. No I/O.
 */

#include "store/store.h"

#include <jansson.h>
#include <stddef.h>

enum { STORE_VERSION = 1 };

struct problem;

/* The contents of the file of SANDBOX. NULL only for lack of memory. */
json_t *store_encode(const struct sandbox *sandbox);

/*
 * Reads TEXT into STORED. 0, or -1 with PROBLEM. The version is checked before anything else, and a problem names it.
 * store_item_clear() afterwards, in both cases.
 */
int store_decode(const char *text, size_t length, const struct config *config, struct stored *stored,
		 struct problem *problem);

/* Frees what STORED owns. */
void store_item_clear(struct stored *stored);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_STORE_CODEC_LAYOUT_H
#define WEFT_STORE_CODEC_LAYOUT_H

/* A layout of slots as JSON, for state files and marks. No I/O. */

#include "config/layout.h"

#include <jansson.h>

/* NULL only for lack of memory. */
json_t *store_encode_layout(const struct config_layout *layout);

/*
 * Reads OBJECT into LAYOUT, which config_layout_clear() empties afterwards, also on failure. Members that are not known are a later
 * weftd's and are passed over. 0, or -1 with *WRONG: the member that is missing or wrong; or NULL for lack of memory.
 */
int store_decode_layout(const json_t *object, struct config_layout *layout, const char **wrong);

#endif

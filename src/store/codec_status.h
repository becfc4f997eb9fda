/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_STORE_CODEC_STATUS_H
#define WEFT_STORE_CODEC_STATUS_H

/* The member "status" of a state file. */

#include <jansson.h>

struct sandbox;
struct wire_place;
struct wire_reader;

/* The state of SANDBOX, its time and reason, and its carrier. NULL for lack of memory. */
json_t *store_encode_status(const struct sandbox *sandbox);

/* A reader for a struct wire_member: TARGET is a struct stored. 0, or -1 with the reader's problem. */
int store_read_status(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		      void *target);

#endif

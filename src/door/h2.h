/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DOOR_H2_H
#define WEFT_DOOR_H2_H

/*
 * Reads what a refused client of DOOR_GRPC sends, only to know when it may be answered: a reply of HTTP/2 belongs to a stream, which the
 * client's HEADERS open. Pure; any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DOOR_H2_HEAD_SIZE = 9 };

/* Where the reader is. Zeroed before use. */
struct door_h2 {
	uint8_t head[DOOR_H2_HEAD_SIZE]; /* of the frame that is being read, as far as it has come */
	uint8_t head_size;
	uint8_t preface_size; /* bytes of the preface that have come */
	bool settled;         /* the client's SETTINGS have begun, which come first */
	bool asked;           /* HEADERS of stream 1 have begun */
	bool bad;             /* this is no HTTP/2, or begins with another stream */
	uint16_t skip;        /* bytes of the frame's payload that are still to come; they do not matter */
};

/* Takes SIZE bytes of the client; returns whether the reply may be sent, which stays so. BAD clients get none, and that stays too. */
bool door_h2_read(struct door_h2 *reader, const uint8_t *data, size_t size);

#endif

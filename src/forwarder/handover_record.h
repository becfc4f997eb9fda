/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_HANDOVER_RECORD_H
#define WEFT_FORWARDER_HANDOVER_RECORD_H

/*
 * The record of a handover: connections as bytes, and the order of their descriptors. Pure: bytes and numbers alone, no descriptor
 * is used. Any thread.
 *
 * Layout. All numbers are little-endian. The file has a header of 24 bytes: "weft-con", the major version (16 bits), the minor
 * version (16), zero (32), the size of the whole (64). Then parts follow, each with a tag (16), flags (16), the size of its contents
 * (32) and these. Contents are numbers, to which a later version may add at the end, or parts again:
 *
 *	head         first in the file: times and counts
 *	route        facts, id, connection ...
 *	connection   facts, client, endpoint, target, peer ..., stream ..., rest ...
 *
 * What a reader may do with a version that it does not know:
 * - another major version: nothing; all is lost;
 * - a part with an unknown tag: skip it, unless its flags say that it is NEEDED. Then the connection in which it lies is lost, or
 *   all connections of that route, or of the record;
 * - more numbers than it knows: skip them;
 * - an unknown value of a known number, or an unknown flag: the connection is lost.
 */

#include "base/vec.h"
#include "forwarder/frozen.h"

#include <stddef.h>
#include <stdint.h>

enum {
	RECORD_MAJOR = 1,
	RECORD_MINOR = 1, /* 0: without connections to services */
	RECORD_HEADER_SIZE = 24,
	RECORD_CONNECTIONS_MAX = 16 << 20, /* more are a damage */
};

struct record_bytes {
	VEC_OF(uint8_t);
};

struct record_fds {
	VEC_OF(int);
};

/* The times and counts of a record. */
struct record_head {
	uint64_t frozen_ms; /* clock_now_ms() when all stood still */
	uint64_t last_id;   /* of connections and flows */
	uint32_t connections;
	uint32_t fds;
};

/*
 * Appends the connections of ROUTES, and of MORE unless it is NULL, to BYTES and their descriptors to FDS, both empty. HEAD: without
 * the counts. 0, or -1 for lack of memory.
 */
int fwd_record_write(const struct frozen_list *routes, const struct frozen_list *more, const struct record_head *head,
		     struct record_bytes *bytes, struct record_fds *fds);

/* What a reader found. */
struct record_finding {
	struct record_head head; /* as written; zeroes where it cannot be read */
	size_t read;             /* connections that can be used as far as the record goes */
	size_t lost;             /* the others */
	const char *problem;     /* the first thing that is wrong; NULL: nothing */
};

/*
 * Reads BYTES. The connections that can be used are appended to ROUTES, with those of the COUNT descriptors FDS to which they refer;
 * these become -1 in FDS. An FD of -1 is one that was lost on the way. Nothing is done to a descriptor.
 */
void fwd_record_read(const uint8_t *bytes, size_t size, int *fds, size_t count, struct frozen_list *routes,
		     struct record_finding *finding);

#endif

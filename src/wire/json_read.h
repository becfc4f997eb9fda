/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_WIRE_JSON_READ_H
#define WEFT_WIRE_JSON_READ_H

/*
 * Strict reading of JSON values: each function takes exactly one type and range, and names the value's place when it refuses.
 * For wire/ and store/.
 */

#include "registry/spec.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct problem;

/* What all readers of one document share. */
struct reader {
	const struct config *config;
	struct problem *problem; /* what is refused, and why */
	bool stored;             /* a file of ours: what the configuration allows today is not asked */
};

/* Where a value stands, as a chain on the stack towards the document; becomes a JSON pointer only if something is refused. */
struct place {
	const struct place *parent; /* NULL: the document itself */
	const char *key;            /* in an object; NULL: in an array */
	size_t index;
};

static inline struct place place_in_object(const struct place *parent, const char *key)
{
	return (struct place){ .parent = parent, .key = key };
}

static inline struct place place_in_array(const struct place *parent, size_t index)
{
	return (struct place){ .parent = parent, .index = index };
}

/* JSON pointer of PLACE (RFC 6901) into TEXT, cut if need be. Returns TEXT. */
char *place_format(const struct place *place, char *text, size_t size);

/* BAD_REQUEST at PLACE. Returns -1. */
int read_refuse(const struct reader *reader, const struct place *place, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));

/* All of these: 0, or -1 with the problem set. */
int read_bool(const struct reader *reader, const struct place *place, const json_t *value, bool *result);
int read_integer(const struct reader *reader, const struct place *place, const json_t *value, int64_t min, int64_t max,
		 int64_t *result);
int read_port(const struct reader *reader, const struct place *place, const json_t *value, uint16_t *port);
/* The text is VALUE's. */
int read_string(const struct reader *reader, const struct place *place, const json_t *value, const char **text);
int read_proto(const struct reader *reader, const struct place *place, const json_t *value, enum proto *proto);
/* "ADDR:PORT" alone. */
int read_address(const struct reader *reader, const struct place *place, const json_t *value, struct addr *addr);

enum field_need { FIELD_OPTIONAL, FIELD_REQUIRED };

/* One field of an object. */
struct field {
	const char *name;
	int (*read)(const struct reader *reader, const struct place *place, const json_t *value, void *target);
	enum field_need need;
};

/* An object with these fields and no others; each field's reader gets TARGET. */
int read_object(const struct reader *reader, const struct place *place, const json_t *value, const struct field *fields,
		size_t count, void *target);

/* How to read an array into items of one size. */
struct array {
	size_t item_size;
	size_t max; /* of items */
	int (*read)(const struct reader *reader, const struct place *place, const json_t *value, void *item);
};

/* *ITEMS is allocated, NULL for none; set also on failure, when *COUNT items of it were read. */
int read_array(const struct reader *reader, const struct place *place, const json_t *value, const struct array *array,
	       void *items, size_t *count);

#define FIELD_COUNT(fields) (sizeof(fields) / sizeof((fields)[0]))

/* ---- Parts of a request, which several documents share. TARGET and ITEM are what the name says. ---- */

extern const struct array wire_ports_array; /* of struct spec_port */
int read_egress(const struct reader *reader, const struct place *place, const json_t *value, void *spec);
int read_bandwidth(const struct reader *reader, const struct place *place, const json_t *value, void *spec);
int read_limits(const struct reader *reader, const struct place *place, const json_t *value, void *spec);
int read_labels(const struct reader *reader, const struct place *place, const json_t *value, void *spec);

#endif

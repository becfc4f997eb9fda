/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_WIRE_JSON_READ_H
#define WEFT_WIRE_JSON_READ_H

/*
 * Strict reading of JSON values: each function takes exactly one type and range, and a refusal names the place of the value.
 * For wire/ and store/.
 */

#include "registry/spec.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct problem;

/* Shared by all readers of one document. */
struct wire_reader {
	const struct config *config;
	struct problem *problem; /* filled when a value is refused */
	bool stored;             /* a state file: not checked against the configuration of today */
};

/* The place of a value, as a chain on the stack towards the document; becomes a JSON pointer only if the value is refused. */
struct wire_place {
	const struct wire_place *parent; /* NULL: the document itself */
	const char *key;                 /* in an object; NULL: in an array */
	size_t index;
};

static inline struct wire_place wire_place_key(const struct wire_place *parent, const char *key)
{
	return (struct wire_place){ .parent = parent, .key = key };
}

static inline struct wire_place wire_place_index(const struct wire_place *parent, size_t index)
{
	return (struct wire_place){ .parent = parent, .index = index };
}

/* JSON pointer of PLACE (RFC 6901) into TEXT, cut if need be. Returns TEXT. */
char *wire_place_format(const struct wire_place *place, char *text, size_t size);

/* BAD_REQUEST at PLACE. Returns -1. */
int wire_refuse(const struct wire_reader *reader, const struct wire_place *place, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));

/* All of these: 0, or -1 with the problem set. */
int wire_read_bool(const struct wire_reader *reader, const struct wire_place *place, const json_t *value, bool *result);
int wire_read_integer(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		      int64_t min, int64_t max, int64_t *result);
int wire_read_port(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		   uint16_t *port);
/* The text is VALUE's. */
int wire_read_string(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		     const char **text);
int wire_read_proto(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		    enum proto *proto);
/* "ADDR:PORT" alone. */
int wire_read_address(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		      struct addr *addr);

/* Refuses VALUE, which is not WANTED ("a string"). Returns -1. */
int wire_refuse_type(const struct wire_reader *reader, const struct wire_place *place, const char *wanted,
		     const json_t *value);

/* One of two words: *RESULT says whether it is the second. */
int wire_read_either(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		     const char *const words[2], bool *result);

/* Reads the value under the key that PLACE ends with. 1: the object may have no such key. */
typedef int wire_key_reader(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
			    void *context);

/* Hands each value of an object to READ, in the order of the text, and refuses a key that READ does not know. */
int wire_read_keys(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		   wire_key_reader *read, void *context);

/* Refuses an object that lacks NAME. */
int wire_require(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		 const char *name);

enum wire_need { WIRE_OPTIONAL, WIRE_REQUIRED };

/* A member of an object, with its own reader. */
struct wire_member {
	const char *name;
	int (*read)(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		    void *target);
	enum wire_need need;
};

/* All members that an object may have. */
struct wire_object {
	const struct wire_member *members;
	size_t count;
};

#define WIRE_OBJECT_OF(items)                                                                                          \
	{                                                                                                              \
		.members = (items), .count = sizeof(items) / sizeof((items)[0])                                        \
	}

/* An object with these members and no others; each member's reader gets TARGET. */
int wire_read_object(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		     const struct wire_object *object, void *target);

/* How to read an array into items of one size. */
struct wire_array {
	size_t item_size;
	size_t max; /* of items */
	int (*read)(const struct wire_reader *reader, const struct wire_place *place, const json_t *value, void *item);
};

/* *ITEMS is allocated, NULL for none; set also on failure, when *COUNT items of it were read. */
int wire_read_array(const struct wire_reader *reader, const struct wire_place *place, const json_t *value,
		    const struct wire_array *array, void *items, size_t *count);

#endif

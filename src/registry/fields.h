/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_REGISTRY_FIELDS_H
#define WEFT_REGISTRY_FIELDS_H

/*
 * Tables that describe structs field by field: name, kind, place, limits, and the documents that have the field. The registry
 * compares, copies, frees and patches along them, wire/ reads and writes JSON along them, and `make check` compares
 * docs/openapi.yaml with them. A new field that is only kept and shown takes a member of its struct, a row, and its lines in
 * the document.
 *
 * The rows are in spec.c and spec_patch.c. No JSON here, no I/O; any thread.
 */

#include "registry/spec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The type of the member at the offset of a field. */
enum spec_kind {
	SPEC_BOOL,   /* bool */
	SPEC_EITHER, /* bool, written as one of two words: words[0] is false, words[1] true */
	SPEC_PORT,   /* uint16_t, 1 to 65535; 0: not given */
	SPEC_NUMBER, /* 32 bits, unsigned */
	SPEC_LARGE,  /* uint64_t */
	SPEC_NAME,   /* char[SANDBOX_ID_MAX + 1], null in JSON or like an id; "": not given */
	SPEC_TOKEN,  /* uint8_t[DOOR_TOKEN_SIZE], base64 in JSON, or null; has SPEC_HAS_GIVEN */
	SPEC_OBJECT, /* a struct with a table of its own */
	SPEC_LIST,   /* a pointer to items of one kind, NULL for none; a size_t elsewhere has their number */
	SPEC_WAKE,   /* a SPEC_LIST, or a word in JSON; an enum wake_which elsewhere says which */
	SPEC_ACCESS, /* struct door_port[DOOR_PORTS_MAX], by rising port, an object in JSON; a size_t elsewhere has their number */
};

enum spec_flags {
	SPEC_IN_PUT = 1,     /* a registration may give it; it is stored */
	SPEC_IN_PATCH = 2,   /* a PATCH may replace it, whole */
	SPEC_SHOWN = 4,      /* a sandbox shows it under its name */
	SPEC_REQUIRED = 8,   /* must stand in its object */
	SPEC_HAS_GIVEN = 16, /* a bool of the struct says whether the field was given */
	SPEC_TAKEN = 32,     /* SPEC_BOOL: a PATCH may give "take" besides, which is true although another has it */
	SPEC_APART = 64,     /* does not count when two structs are compared */
};

/* The kinds of list items; wire/ has a reader and a writer for each. */
enum spec_item {
	SPEC_ITEM_PORT,      /* struct spec_port */
	SPEC_ITEM_RULE,      /* struct egress_rule */
	SPEC_ITEM_LABEL,     /* struct label; the list is an object in JSON */
	SPEC_ITEM_UNPUBLISH, /* struct spec_unpublish */
	SPEC_ITEM_WAKE,      /* struct wake_port */
};

struct spec_items {
	enum spec_item kind;
	size_t size;                                   /* of an item, bytes */
	size_t max;                                    /* the most of them */
	bool any_order;                                /* order does not count when lists are compared */
	int (*compare)(const void *a, const void *b);  /* 0: equal; an order, if ANY_ORDER; NULL: never compared */
	int (*copy)(void *item, const void *original); /* NULL: its bytes; 0, or -1 for lack of memory */
	void (*clear)(void *item);                     /* NULL: it owns nothing */
};

struct spec_field {
	const char *name;
	enum spec_kind kind;
	unsigned flags;                   /* enum spec_flags, joined */
	size_t offset;                    /* in the struct that the table is of, as the next two */
	size_t count_offset;              /* SPEC_LIST, SPEC_WAKE, SPEC_ACCESS */
	size_t which_offset;              /* SPEC_WAKE */
	size_t given_offset;              /* SPEC_HAS_GIVEN */
	uint64_t min, max;                /* SPEC_NUMBER, SPEC_LARGE */
	const char *const *words;         /* SPEC_EITHER: two */
	const struct spec_table *members; /* SPEC_OBJECT */
	const struct spec_items *items;   /* SPEC_LIST, SPEC_WAKE */
};

struct spec_table {
	const struct spec_field *fields;
	size_t count;
	size_t size; /* of the struct, bytes */
	void (*complete)(
	    void *structure); /* called after reading: fills the fields that depend on others; may be NULL */
	/* Whether STRUCTURE stands for none: null in JSON, and not given. NULL: it never does. */
	bool (*is_none)(const void *structure);
};

/* The field NAME; NULL: there is none. */
const struct spec_field *registry_spec_field_find(const struct spec_table *table, const char *name);

/* Whether STRUCTURE has a value: not a port 0, nor a name "", nor a struct for none, nor a field that was not given. */
bool registry_spec_field_is_given(const struct spec_field *field, const void *structure);

/* Sets the bool of a field that has SPEC_HAS_GIVEN. */
void registry_spec_field_set_given(const struct spec_field *field, void *structure, bool given);

/* The value's place in STRUCTURE. */
void *registry_spec_field_place(const struct spec_field *field, void *structure);
const void *registry_spec_field_value(const struct spec_field *field, const void *structure);

/* The items of a list, and their number. */
const void *registry_spec_list_items(const struct spec_field *field, const void *structure, size_t *count);
void registry_spec_list_set(const struct spec_field *field, void *structure, void *items, size_t count);

/* What a list of SPEC_WAKE is about. */
enum wake_which registry_spec_which(const struct spec_field *field, const void *structure);
void registry_spec_set_which(const struct spec_field *field, void *structure, enum wake_which which);

/* The ports of SPEC_ACCESS, and their number. */
const struct door_port *registry_spec_access(const struct spec_field *field, const void *structure, size_t *count);
void registry_spec_access_set_count(const struct spec_field *field, void *structure, size_t count);

/* Whether two structs have the same value of FIELD. If memory is short they count as different. */
bool registry_spec_field_equal(const struct spec_field *field, const void *a, const void *b);

/* Whether two structs are equal, apart from the fields that have SPEC_APART. If memory is short they count as different. */
bool registry_spec_fields_equal(const struct spec_table *table, const void *a, const void *b);

/* COPY becomes a copy of ORIGINAL. 0, or -1 for lack of memory; registry_spec_fields_clear() afterwards, in both cases. */
int registry_spec_fields_copy(const struct spec_table *table, void *copy, const void *original);

/* Frees what STRUCTURE owns, not itself; its lists are empty then. */
void registry_spec_fields_clear(const struct spec_table *table, void *structure);

/* Exchanges the values of a field, with the memory that they own. */
void registry_spec_field_swap(const struct spec_field *field, void *a, void *b);

/* ---- Rows. The compiler refuses a member that is not of its kind's type. ---- */

#define SPEC_PLACE(structure, member, type)                                                                            \
	(offsetof(structure, member) +                                                                                 \
	 0 * sizeof(char[__builtin_types_compatible_p(__typeof__(((structure *)0)->member), type) ? 1 : -1]))

#define SPEC_ROW_BOOL(name_, structure, member, flags_, ...)                                                           \
	{                                                                                                              \
		.name = (name_), .kind = SPEC_BOOL, .flags = (flags_), .offset = SPEC_PLACE(structure, member, bool),  \
		__VA_ARGS__                                                                                            \
	}

#define SPEC_ROW_EITHER(name_, structure, member, words_, flags_, ...)                                                 \
	{                                                                                                              \
		.name = (name_), .kind = SPEC_EITHER, .flags = (flags_), .words = (words_),                            \
		.offset = SPEC_PLACE(structure, member, bool), __VA_ARGS__                                             \
	}

#define SPEC_ROW_PORT(name_, structure, member, flags_)                                                                \
	{                                                                                                              \
		.name = (name_), .kind = SPEC_PORT, .flags = (flags_),                                                 \
		.offset = SPEC_PLACE(structure, member, uint16_t)                                                      \
	}

#define SPEC_ROW_NUMBER(name_, structure, member, min_, max_, flags_)                                                  \
	{                                                                                                              \
		.name = (name_), .kind = SPEC_NUMBER, .flags = (flags_), .min = (min_), .max = (max_),                 \
		.offset = SPEC_PLACE(structure, member, unsigned)                                                      \
	}

#define SPEC_ROW_LARGE(name_, structure, member, min_, max_, flags_)                                                   \
	{                                                                                                              \
		.name = (name_), .kind = SPEC_LARGE, .flags = (flags_), .min = (min_), .max = (max_),                  \
		.offset = SPEC_PLACE(structure, member, uint64_t)                                                      \
	}

#define SPEC_ROW_NAME(name_, structure, member, flags_)                                                                \
	{                                                                                                              \
		.name = (name_), .kind = SPEC_NAME, .flags = (flags_),                                                 \
		.offset = SPEC_PLACE(structure, member, char[SANDBOX_ID_MAX + 1])                                      \
	}

#define SPEC_ROW_TOKEN(name_, structure, member, flags_, ...)                                                          \
	{                                                                                                              \
		.name = (name_), .kind = SPEC_TOKEN, .flags = (flags_) | SPEC_HAS_GIVEN,                               \
		.offset = SPEC_PLACE(structure, member, uint8_t[DOOR_TOKEN_SIZE]), __VA_ARGS__                         \
	}

#define SPEC_ROW_ACCESS(name_, structure, member, count_, flags_)                                                      \
	{                                                                                                              \
		.name = (name_), .kind = SPEC_ACCESS, .flags = (flags_),                                               \
		.offset = SPEC_PLACE(structure, member, struct door_port[DOOR_PORTS_MAX]),                             \
		.count_offset = SPEC_PLACE(structure, count_, size_t)                                                  \
	}

#define SPEC_ROW_OBJECT(name_, structure, member, members_, flags_, ...)                                               \
	{                                                                                                              \
		.name = (name_), .kind = SPEC_OBJECT, .flags = (flags_), .members = (members_),                        \
		.offset = offsetof(structure, member), __VA_ARGS__                                                     \
	}

#define SPEC_ROW_LIST(name_, structure, member, count_, items_, flags_)                                                \
	{                                                                                                              \
		.name = (name_), .kind = SPEC_LIST, .flags = (flags_), .items = (items_),                              \
		.offset = offsetof(structure, member), .count_offset = SPEC_PLACE(structure, count_, size_t)           \
	}

#define SPEC_ROW_WAKE(name_, structure, which_, member, count_, items_, flags_)                                        \
	{                                                                                                              \
		.name = (name_), .kind = SPEC_WAKE, .flags = (flags_), .items = (items_),                              \
		.offset = SPEC_PLACE(structure, member, struct wake_port *),                                           \
		.count_offset = SPEC_PLACE(structure, count_, size_t),                                                 \
		.which_offset = SPEC_PLACE(structure, which_, enum wake_which)                                         \
	}

/* Ends a row: the bool that goes with SPEC_HAS_GIVEN. */
#define SPEC_GIVEN_BY(structure, member) .given_offset = SPEC_PLACE(structure, member, bool)

#define SPEC_TABLE_OF(rows, structure)                                                                                 \
	.fields = (rows), .count = sizeof(rows) / sizeof((rows)[0]), .size = sizeof(structure)

#endif

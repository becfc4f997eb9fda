/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each operation is one walk over a table, and into the tables of nested structs. Only lists own memory, so a copy is the bytes
 * of the struct with new lists.
 */
#include "registry/fields.h"

#include <stdlib.h>
#include <string.h>

const struct spec_field *registry_spec_field_find(const struct spec_table *table, const char *name)
{
	for (size_t i = 0; i < table->count; i++) {
		if (strcmp(table->fields[i].name, name) == 0)
			return &table->fields[i];
	}
	return NULL;
}

void *registry_spec_field_place(const struct spec_field *field, void *structure)
{
	return (char *)structure + field->offset;
}

const void *registry_spec_field_value(const struct spec_field *field, const void *structure)
{
	return (const char *)structure + field->offset;
}

static bool registry_spec_field_flag(const struct spec_field *field, const void *structure)
{
	return *(const bool *)((const char *)structure + field->given_offset);
}

bool registry_spec_field_is_given(const struct spec_field *field, const void *structure)
{
	if (field->flags & SPEC_HAS_GIVEN)
		return registry_spec_field_flag(field, structure);
	if (field->kind == SPEC_OBJECT)
		return !field->members->is_none ||
		       !field->members->is_none(registry_spec_field_value(field, structure));
	if (field->kind == SPEC_NAME)
		return *(const char *)registry_spec_field_value(field, structure) != '\0';
	return field->kind != SPEC_PORT || *(const uint16_t *)registry_spec_field_value(field, structure);
}

void registry_spec_field_set_given(const struct spec_field *field, void *structure, bool given)
{
	if (field->flags & SPEC_HAS_GIVEN)
		*(bool *)((char *)structure + field->given_offset) = given;
}

/* ---- Lists: pointers of different types, so they are carried by memcpy() ---- */

const void *registry_spec_list_items(const struct spec_field *field, const void *structure, size_t *count)
{
	const void *items;

	memcpy(&items, registry_spec_field_value(field, structure), sizeof(items));
	memcpy(count, (const char *)structure + field->count_offset, sizeof(*count));
	return items;
}

void registry_spec_list_set(const struct spec_field *field, void *structure, void *items, size_t count)
{
	memcpy(registry_spec_field_place(field, structure), &items, sizeof(items));
	memcpy((char *)structure + field->count_offset, &count, sizeof(count));
}

enum wake_which registry_spec_which(const struct spec_field *field, const void *structure)
{
	return *(const enum wake_which *)((const char *)structure + field->which_offset);
}

void registry_spec_set_which(const struct spec_field *field, void *structure, enum wake_which which)
{
	*(enum wake_which *)((char *)structure + field->which_offset) = which;
}

const struct door_port *registry_spec_access(const struct spec_field *field, const void *structure, size_t *count)
{
	memcpy(count, (const char *)structure + field->count_offset, sizeof(*count));
	return registry_spec_field_value(field, structure);
}

void registry_spec_access_set_count(const struct spec_field *field, void *structure, size_t count)
{
	memcpy((char *)structure + field->count_offset, &count, sizeof(count));
}

static void registry_spec_list_clear(const struct spec_field *field, void *structure)
{
	const struct spec_items *kind = field->items;
	size_t count;
	char *items = (char *)registry_spec_list_items(field, structure, &count);

	for (size_t i = 0; kind->clear && i < count; i++)
		kind->clear(items + i * kind->size);
	free(items);
	registry_spec_list_set(field, structure, NULL, 0);
}

/* The list of COPY is empty before. If memory runs out, it has the items copied so far, the last perhaps in part. */
static int registry_spec_list_copy(const struct spec_field *field, void *copy, const void *original)
{
	const struct spec_items *kind = field->items;
	size_t count;
	const char *items = registry_spec_list_items(field, original, &count);

	if (count == 0)
		return 0;
	char *copied = calloc(count, kind->size);
	if (!copied)
		return -1;
	registry_spec_list_set(field, copy, copied, count);
	if (!kind->copy) {
		memcpy(copied, items, count * kind->size);
		return 0;
	}
	for (size_t i = 0; i < count; i++) {
		if (kind->copy(copied + i * kind->size, items + i * kind->size) < 0)
			return -1;
	}
	return 0;
}

static int registry_spec_list_compare_pointers(const void *left, const void *right, void *kind)
{
	return ((const struct spec_items *)kind)->compare(*(const void *const *)left, *(const void *const *)right);
}

/* Pointers to the items in their order; NULL for lack of memory. */
static const void **registry_spec_list_sort(const struct spec_items *kind, const char *items, size_t count)
{
	const void **sorted = calloc(count, sizeof(const void *));

	if (!sorted)
		return NULL;
	for (size_t i = 0; i < count; i++)
		sorted[i] = items + i * kind->size;
	qsort_r(sorted, count, sizeof(const void *), registry_spec_list_compare_pointers, (void *)kind);
	return sorted;
}

static bool registry_spec_list_equal_sorted(const struct spec_items *kind, const char *a, const char *b, size_t count)
{
	const void **left = registry_spec_list_sort(kind, a, count), **right = registry_spec_list_sort(kind, b, count);
	bool equal = left && right;

	for (size_t i = 0; equal && i < count; i++)
		equal = kind->compare(left[i], right[i]) == 0;
	free(left);
	free(right);
	return equal;
}

static bool registry_spec_list_equal(const struct spec_field *field, const void *a, const void *b)
{
	const struct spec_items *kind = field->items;
	size_t count, other;
	const char *left = registry_spec_list_items(field, a, &count),
		   *right = registry_spec_list_items(field, b, &other);

	if (count != other || count == 0)
		return count == other;
	if (kind->any_order)
		return registry_spec_list_equal_sorted(kind, left, right, count);
	for (size_t i = 0; i < count; i++) {
		if (kind->compare(left + i * kind->size, right + i * kind->size) != 0)
			return false;
	}
	return true;
}

/* ---- Fields ---- */

/* The bytes of the value itself, without what it owns. */
static size_t registry_spec_field_size(const struct spec_field *field)
{
	switch (field->kind) {
	case SPEC_BOOL:
	case SPEC_EITHER:
		return sizeof(bool);
	case SPEC_PORT:
		return sizeof(uint16_t);
	case SPEC_NUMBER:
		return sizeof(uint32_t);
	case SPEC_LARGE:
		return sizeof(uint64_t);
	case SPEC_NAME:
		return SANDBOX_ID_MAX + 1;
	case SPEC_TOKEN:
		return DOOR_TOKEN_SIZE;
	case SPEC_OBJECT:
		return field->members->size;
	case SPEC_LIST:
	case SPEC_WAKE:
		return sizeof(void *);
	case SPEC_ACCESS:
		return sizeof(struct door_port[DOOR_PORTS_MAX]);
	}
	return 0;
}

static bool registry_spec_field_has_items(const struct spec_field *field)
{
	return field->kind == SPEC_LIST || field->kind == SPEC_WAKE;
}

/* Compared member by member, for the bytes between them mean nothing. */
static bool registry_spec_access_equal(const struct spec_field *field, const void *a, const void *b)
{
	size_t count, other;
	const struct door_port *left = registry_spec_access(field, a, &count),
			       *right = registry_spec_access(field, b, &other);

	if (count != other)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (left[i].port != right[i].port || left[i].access != right[i].access)
			return false;
	}
	return true;
}

bool registry_spec_field_equal(const struct spec_field *field, const void *a, const void *b)
{
	const void *left = registry_spec_field_value(field, a), *right = registry_spec_field_value(field, b);

	if (field->flags & SPEC_HAS_GIVEN || field->kind == SPEC_OBJECT) {
		if (registry_spec_field_is_given(field, a) != registry_spec_field_is_given(field, b))
			return false;
		if (!registry_spec_field_is_given(field, a))
			return true;
	}
	switch (field->kind) {
	case SPEC_BOOL:
	case SPEC_EITHER:
	case SPEC_PORT:
	case SPEC_NUMBER:
	case SPEC_LARGE:
	case SPEC_TOKEN:
		return memcmp(left, right, registry_spec_field_size(field)) == 0;
	case SPEC_NAME:
		return strcmp(left, right) == 0;
	case SPEC_OBJECT:
		return registry_spec_fields_equal(field->members, left, right);
	case SPEC_LIST:
		return registry_spec_list_equal(field, a, b);
	case SPEC_WAKE:
		return registry_spec_which(field, a) == registry_spec_which(field, b) &&
		       registry_spec_list_equal(field, a, b);
	case SPEC_ACCESS:
		return registry_spec_access_equal(field, a, b);
	}
	return false;
}

bool registry_spec_fields_equal(const struct spec_table *table, const void *a, const void *b)
{
	for (size_t i = 0; i < table->count; i++) {
		if (!(table->fields[i].flags & SPEC_APART) && !registry_spec_field_equal(&table->fields[i], a, b))
			return false;
	}
	return true;
}

void registry_spec_fields_clear(const struct spec_table *table, void *structure)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct spec_field *field = &table->fields[i];

		if (registry_spec_field_has_items(field))
			registry_spec_list_clear(field, structure);
		else if (field->kind == SPEC_OBJECT)
			registry_spec_fields_clear(field->members, registry_spec_field_place(field, structure));
	}
}

/* Empties the lists: they belong to the struct that the bytes were copied from. */
static void registry_spec_fields_disown(const struct spec_table *table, void *structure)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct spec_field *field = &table->fields[i];

		if (registry_spec_field_has_items(field))
			registry_spec_list_set(field, structure, NULL, 0);
		else if (field->kind == SPEC_OBJECT)
			registry_spec_fields_disown(field->members, registry_spec_field_place(field, structure));
	}
}

static int registry_spec_fields_copy_lists(const struct spec_table *table, void *copy, const void *original)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct spec_field *field = &table->fields[i];

		if (registry_spec_field_has_items(field) && registry_spec_list_copy(field, copy, original) < 0)
			return -1;
		if (field->kind == SPEC_OBJECT &&
		    registry_spec_fields_copy_lists(field->members, registry_spec_field_place(field, copy),
						    registry_spec_field_value(field, original)) < 0)
			return -1;
	}
	return 0;
}

int registry_spec_fields_copy(const struct spec_table *table, void *copy, const void *original)
{
	memcpy(copy, original, table->size);
	registry_spec_fields_disown(table, copy);
	return registry_spec_fields_copy_lists(table, copy, original);
}

static void registry_spec_swap_bytes(void *a, void *b, size_t size)
{
	char *left = a, *right = b;

	for (size_t i = 0; i < size; i++) {
		char byte = left[i];

		left[i] = right[i];
		right[i] = byte;
	}
}

/* Whether the bool of SPEC_HAS_GIVEN is part of the value. */
static bool registry_spec_field_holds_flag(const struct spec_field *field)
{
	return field->given_offset >= field->offset &&
	       field->given_offset < field->offset + registry_spec_field_size(field);
}

void registry_spec_field_swap(const struct spec_field *field, void *a, void *b)
{
	registry_spec_swap_bytes(registry_spec_field_place(field, a), registry_spec_field_place(field, b),
				 registry_spec_field_size(field));
	if (field->kind == SPEC_LIST || field->kind == SPEC_ACCESS)
		registry_spec_swap_bytes((char *)a + field->count_offset, (char *)b + field->count_offset,
					 sizeof(size_t));
	if (field->flags & SPEC_HAS_GIVEN && !registry_spec_field_holds_flag(field))
		registry_spec_swap_bytes((char *)a + field->given_offset, (char *)b + field->given_offset,
					 sizeof(bool));
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Few layouts exist at a time: one for each former configuration that a live slot still has. So an array with room for some
 * serves, whose places others read while the main thread fills and empties them. A layout that was dropped stays in a second
 * list, because a job may hold it still.
 */
#include "config/layouts.h"

#include <stdlib.h>
#include <string.h>

enum { EARLIER_MAX = CONFIG_LAYOUTS_MAX - 1 };

struct config_layouts {
	const struct config_layout *_Atomic used[EARLIER_MAX]; /* NULL: free */
	struct layout_list {
		VEC_OF(struct config_layout *);
	} all; /* that were ever added */
};

struct config_layouts *config_layouts_new(void)
{
	return calloc(1, sizeof(struct config_layouts));
}

void config_layout_clear(struct config_layout *layout)
{
	free(layout->netns_dir);
	free(layout->netns_prefix);
	free(layout->veth_prefix);
	*layout = (struct config_layout){ 0 };
}

void config_layouts_free(struct config_layouts *layouts)
{
	if (!layouts)
		return;
	for (size_t i = 0; i < layouts->all.count; i++) {
		config_layout_clear(layouts->all.items[i]);
		free(layouts->all.items[i]);
	}
	vec_free(&layouts->all);
	free(layouts);
}

bool config_layout_equal(const struct config_layout *a, const struct config_layout *b)
{
	return strcmp(a->netns_dir, b->netns_dir) == 0 && strcmp(a->netns_prefix, b->netns_prefix) == 0 &&
	       strcmp(a->veth_prefix, b->veth_prefix) == 0 && a->link_group == b->link_group &&
	       addr_cidr4_equal(&a->host_cidr, &b->host_cidr) && addr_cidr4_equal(&a->veth_cidr, &b->veth_cidr) &&
	       addr_cidr4_equal(&a->guest, &b->guest) && addr_cidr4_equal(&a->tap, &b->tap) &&
	       a->guest_mac_learn == b->guest_mac_learn &&
	       (a->guest_mac_learn || addr_mac_equal(&a->guest_mac, &b->guest_mac)) &&
	       addr_mac_equal(&a->tap_mac, &b->tap_mac) && a->mtu == b->mtu;
}

static struct config_layout *config_layout_copy(const struct config_layout *from)
{
	struct config_layout *copy = malloc(sizeof(*copy));

	if (!copy)
		return NULL;
	*copy = *from;
	copy->netns_dir = strdup(from->netns_dir);
	copy->netns_prefix = strdup(from->netns_prefix);
	copy->veth_prefix = strdup(from->veth_prefix);
	if (copy->netns_dir && copy->netns_prefix && copy->veth_prefix)
		return copy;
	config_layout_clear(copy);
	free(copy);
	return NULL;
}

/* One that was added before, whether it is in use or not; else a copy, which the list owns. NULL: no memory. */
static const struct config_layout *config_layout_intern(struct config_layouts *layouts,
							const struct config_layout *layout)
{
	struct config_layout **place, *copy;

	for (size_t i = 0; i < layouts->all.count; i++)
		if (config_layout_equal(layouts->all.items[i], layout))
			return layouts->all.items[i];
	copy = config_layout_copy(layout);
	place = copy ? vec_push(&layouts->all) : NULL;
	if (place) {
		*place = copy;
		return copy;
	}
	if (copy)
		config_layout_clear(copy);
	free(copy);
	return NULL;
}

const struct config_layout *config_layout_add(const struct config *config, const struct config_layout *layout)
{
	struct config_layouts *layouts = config->layouts;
	const struct config_layout *known;
	size_t room = EARLIER_MAX;

	if (config_layout_equal(&config->layout, layout))
		return &config->layout;
	known = config_layout_intern(layouts, layout);
	for (size_t i = 0; known && i < EARLIER_MAX; i++) {
		if (layouts->used[i] == known)
			return known;
		if (!layouts->used[i] && room == EARLIER_MAX)
			room = i;
	}
	if (!known || room == EARLIER_MAX)
		return NULL;
	layouts->used[room] = known;
	return known;
}

void config_layout_drop(const struct config *config, const struct config_layout *layout)
{
	for (size_t i = 0; i < EARLIER_MAX; i++)
		if (config->layouts->used[i] == layout)
			config->layouts->used[i] = NULL;
}

const struct config_layout *config_layout_next(const struct config *config, size_t *at)
{
	if (*at == 0) {
		(*at)++;
		return &config->layout;
	}
	while (*at <= EARLIER_MAX) {
		const struct config_layout *layout = config->layouts->used[(*at)++ - 1];

		if (layout)
			return layout;
	}
	return NULL;
}

bool config_layout_has_earlier(const struct config *config)
{
	size_t at = 1;

	return config_layout_next(config, &at) != NULL;
}

size_t config_layout_groups(const struct config *config, uint32_t groups[static CONFIG_LAYOUTS_MAX])
{
	const struct config_layout *layout;
	size_t count = 0;

	for (size_t at = 0; (layout = config_layout_next(config, &at));) {
		size_t i = 0;

		while (i < count && groups[i] != layout->link_group)
			i++;
		groups[i] = layout->link_group;
		count += i == count;
	}
	return count;
}

static size_t config_layout_put_range(struct cidr4 *ranges, size_t count, const struct cidr4 *range)
{
	for (size_t i = 0; i < count; i++)
		if (addr_cidr4_equal(&ranges[i], range))
			return count;
	ranges[count] = *range;
	return count + 1;
}

size_t config_layout_host_ranges(const struct config *config, struct cidr4 ranges[static CONFIG_LAYOUTS_MAX])
{
	const struct config_layout *layout;
	size_t count = 0;

	for (size_t at = 0; (layout = config_layout_next(config, &at));)
		count = config_layout_put_range(ranges, count, &layout->host_cidr);
	return count;
}

size_t config_layout_ranges(const struct config *config, struct cidr4 ranges[static 2 * CONFIG_LAYOUTS_MAX])
{
	const struct config_layout *layout;
	size_t count = 0;

	for (size_t at = 0; (layout = config_layout_next(config, &at));) {
		count = config_layout_put_range(ranges, count, &layout->host_cidr);
		count = config_layout_put_range(ranges, count, &layout->veth_cidr);
	}
	return count;
}

unsigned config_layout_veth_slot(const struct config *config, const char *name, const struct config_layout **found)
{
	const struct config_layout *layout;

	for (size_t at = 0; (layout = config_layout_next(config, &at));) {
		unsigned slot = config_veth_slot(layout, name);

		if (slot && found)
			*found = layout;
		if (slot)
			return slot;
	}
	return 0;
}

unsigned config_layout_netns_slot(const struct config *config, const char *name)
{
	const struct config_layout *layout;

	for (size_t at = 0; (layout = config_layout_next(config, &at));) {
		unsigned slot = config_netns_slot(layout, name);

		if (slot)
			return slot;
	}
	return 0;
}

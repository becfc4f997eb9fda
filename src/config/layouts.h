/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CONFIG_LAYOUTS_H
#define WEFT_CONFIG_LAYOUTS_H

/*
 * All layouts that slots of this host may have: the configuration's, which new slots get, and those of former configurations
 * that live slots were made with. What covers all slots (the host's rules, routes, monitors) walks over them.
 *
 * The main thread adds; any thread drops and walks. A layout's memory stays until config_free().
 */

#include "config/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most that are in use at once, the configuration's included. */
enum { CONFIG_LAYOUTS_MAX = 32 };

bool config_layout_equal(const struct config_layout *a, const struct config_layout *b);

/* Whether each value is one that a configuration may have: for a layout that was read from a file. */
bool config_layout_is_valid(const struct config_layout *layout);

/*
 * The layout equal to LAYOUT, which slots of CONFIG may have from now on: CONFIG's own, or a copy. NULL: no memory, or
 * CONFIG_LAYOUTS_MAX are in use. Main thread.
 */
const struct config_layout *config_layout_add(const struct config *config, const struct config_layout *layout);

/* No slot has LAYOUT any more, a former one. Those who hold the pointer may go on reading it. Any thread. */
void config_layout_drop(const struct config *config, const struct config_layout *layout);

/* The layout at *AT, 0 for the first, which is the configuration's own; *AT moves on. NULL: that was all. Any thread. */
const struct config_layout *config_layout_next(const struct config *config, size_t *at);

/* Whether slots may have other layouts than the configuration's. */
bool config_layout_has_earlier(const struct config *config);

/* The link groups of all layouts, each once. Returns how many. */
size_t config_layout_groups(const struct config *config, uint32_t groups[static CONFIG_LAYOUTS_MAX]);

/* The ranges of host addresses of all layouts, each once. Returns how many. */
size_t config_layout_host_ranges(const struct config *config, struct cidr4 ranges[static CONFIG_LAYOUTS_MAX]);

/* The ranges of host addresses and of veths of all layouts, each once. Returns how many. */
size_t config_layout_ranges(const struct config *config, struct cidr4 ranges[static 2 * CONFIG_LAYOUTS_MAX]);

/* The slot whose veth's host end, or whose namespace, is called NAME in any layout; 0: none. *LAYOUT, if not NULL, is that. */
unsigned config_layout_veth_slot(const struct config *config, const char *name, const struct config_layout **layout);
unsigned config_layout_netns_slot(const struct config *config, const char *name);

/* Frees what LAYOUT points to. */
void config_layout_clear(struct config_layout *layout);

/* For config_default(), NULL without memory, and config_free(). */
struct config_layouts *config_layouts_new(void);
void config_layouts_free(struct config_layouts *layouts);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The options in force, as text of the file's form, and the layouts by which slots are known: the configuration's, with which new slots
 * are made, and former ones that live slots have.
 */
#include "daemon/uses.h"

#include "config/layouts.h"
#include "daemon/daemon.h"
#include "daemon/load_config.h"
#include "daemon/options.h"
#include "wire/write.h"

#include <stdlib.h>
#include <string.h>

/* A value of a list, or of another option. NULL for want of memory. */
static json_t *daemon_uses_value(const char *value, bool list)
{
	json_t *items = list ? json_array() : wire_write_text(value);

	for (size_t length; list && items && *value; value += length + strspn(value + length, " ")) {
		length = strcspn(value, " ");
		if (json_array_append_new(items, json_stringn(value, length)) == 0)
			continue;
		json_decref(items);
		items = NULL;
	}
	return items;
}

struct uses_options {
	json_t *sections;
	bool failed;
};

static void daemon_uses_add_option(void *context, const char *section, const char *key, const char *value, bool list)
{
	struct uses_options *options = context;
	json_t *of = json_object_get(options->sections, section);

	if (!of) {
		of = json_object();
		options->failed |= json_object_set_new(options->sections, section, of) < 0;
	}
	/* The value of an object that could not be made is released all the same. */
	if (json_object_set_new(of, key, daemon_uses_value(value, list)) < 0)
		options->failed = true;
}

static json_t *daemon_uses_options(const struct config *config)
{
	struct uses_options options = { .sections = json_object() };

	if (config_each_option(config, daemon_uses_add_option, &options) == 0 && options.sections && !options.failed)
		return options.sections;
	json_decref(options.sections);
	return NULL;
}

static json_t *daemon_uses_layout(const struct config_layout *layout)
{
	char host[CIDR4_TEXT_SIZE], veth[CIDR4_TEXT_SIZE];

	return json_pack("{s:o, s:s, s:s, s:I, s:s, s:s}", "netns_dir", wire_write_text(layout->netns_dir),
			 "netns_prefix", layout->netns_prefix, "veth_prefix", layout->veth_prefix, "link_group",
			 (json_int_t)layout->link_group, "host_cidr", addr_cidr4_format(&layout->host_cidr, host),
			 "veth_cidr", addr_cidr4_format(&layout->veth_cidr, veth));
}

/* That of new slots first, then those of former configurations that live slots have. */
static json_t *daemon_uses_layouts(const struct config *config)
{
	json_t *layouts = json_array();
	const struct config_layout *layout;

	for (size_t at = 0; layouts && (layout = config_layout_next(config, &at));) {
		if (json_array_append_new(layouts, daemon_uses_layout(layout)) == 0)
			continue;
		json_decref(layouts);
		layouts = NULL;
	}
	return layouts;
}

/* PATH from the root, because only weftd knows the folder it was started in. */
static json_t *daemon_uses_path(const char *path)
{
	char *whole = path ? realpath(path, NULL) : NULL;
	json_t *text = path ? wire_write_text(whole ? whole : path) : json_null();

	free(whole);
	return text;
}

json_t *daemon_uses_describe(const struct daemon *daemon)
{
	return json_pack("{s:o, s:o, s:o, s:o}", "config", daemon_uses_path(daemon_load_config_path(daemon->options)),
			 "state_dir", daemon_uses_path(daemon->options->state_dir), "layouts",
			 daemon_uses_layouts(daemon->config), "options", daemon_uses_options(daemon->config));
}

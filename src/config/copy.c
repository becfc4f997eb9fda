/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options one by one, as the text that stands for them in a file: for those who show the configuration in force, and those who are
 * shown it and want a struct config again.
 */
#include "base/cleanup.h"
#include "config/config.h"
#include "config/layouts.h"
#include "config/option.h"

#include <stdlib.h>

int config_each_option(const struct config *config, config_option_take *take, void *context)
{
	for (size_t i = 0; i < option_count; i++) {
		const struct option *option = &option_table[i];
		AUTO_FREE char *value = config_option_print(option, config);

		if (!value)
			return -1;
		take(context, option->section, option->key, value, config_option_is_list(option));
	}
	return 0;
}

int config_set(struct config *config, const char *section, const char *key, const char *value)
{
	const struct option *option = config_option_find(section, key);

	if (!option)
		return -1;
	if (!config_option_is_list(option))
		return config_option_set_whole(option, config, value);
	AUTO_FREE char *before = config_option_print(option, config);
	if (!before)
		return -1;
	config_option_clear(option, config);
	if (config_option_set_whole(option, config, value) == 0)
		return 0;
	config_option_clear(option, config);
	config_option_set_whole(option, config, before);
	return -1;
}

struct config_copying {
	struct config *copy;
	bool failed;
};

static void config_copy_option(void *context, const char *section, const char *key, const char *value, bool list)
{
	struct config_copying *copying = context;

	(void)list;
	copying->failed |= config_set(copying->copy, section, key, value) < 0;
}

static bool config_copy_ids(struct config *copy, const struct config_users_list *ids)
{
	for (size_t i = 0; i < ids->count; i++) {
		struct config_users *item = vec_push(&copy->ingress.local_ids);
		if (!item)
			return false;
		*item = ids->items[i];
	}
	return true;
}

struct config *config_copy(const struct config *config)
{
	struct config_copying copying = { .copy = config_default() };
	const struct config_layout *layout;
	size_t at = 0;

	copying.failed = !copying.copy || config_each_option(config, config_copy_option, &copying) < 0 ||
			 copying.failed || !config_copy_ids(copying.copy, &config->ingress.local_ids);
	while (!copying.failed && (layout = config_layout_next(config, &at)))
		copying.failed = !config_layout_add(copying.copy, layout);
	if (!copying.failed)
		return copying.copy;
	config_free(copying.copy);
	return NULL;
}

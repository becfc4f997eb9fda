/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a configuration: made from the defaults, overwritten by a file, checked, changed in part by a reload, freed. All
 * of this walks the table of options. Only `workers' is known here by name, because its default is counted.
 */
#include "config/config.h"

#include "base/cleanup.h"
#include "base/container_of.h"
#include "base/err.h"
#include "config/layouts.h"
#include "config/loading.h"
#include "config/source.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

static unsigned config_count_cores(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1; /* more than 1,024: the operator sets the number of threads */
	return (unsigned)CPU_COUNT(&set);
}

struct config *config_default(void)
{
	struct loaded_config *loaded = calloc(1, sizeof(*loaded));

	if (!loaded)
		return NULL;
	for (size_t i = 0; i < option_count; i++) {
		if (config_option_set_default(&option_table[i], &loaded->config) < 0) {
			config_free(&loaded->config);
			return NULL;
		}
	}
	loaded->config.layouts = config_layouts_new();
	if (!loaded->config.layouts) {
		config_free(&loaded->config);
		return NULL;
	}
	loaded->config.daemon.workers = config_count_cores();
	return &loaded->config;
}

void config_free(struct config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < option_count; i++)
		config_option_clear(&option_table[i], config);
	vec_free(&config->ingress.local_ids);
	config_layouts_free(config->layouts);
	free(config); /* is the first member of what was allocated */
}

static struct config *config_give_up(struct config *config)
{
	config_free(config);
	return NULL;
}

struct config *config_load_stream(FILE *stream, const char *name, config_host_check *host_check,
				  struct config_mistakes *mistakes)
{
	struct config *config = config_default();

	free(mistakes->file);
	mistakes->file = strdup(name);
	if (!config || !mistakes->file) {
		mistakes->trouble = ENOMEM;
		config_mistakes_add(mistakes, 0, "%s", strerror(ENOMEM));
		return config_give_up(config);
	}
	config_read(stream, container_of(config, struct loaded_config, config), mistakes);
	if (!config->daemon.workers)
		config->daemon.workers = config_count_cores();
	config_check(config, mistakes);
	if (host_check)
		host_check(config, mistakes);
	return mistakes->count ? config_give_up(config) : config;
}

struct config *config_load(const char *path, unsigned patience_ms, config_host_check *host_check,
			   struct config_mistakes *mistakes)
{
	struct config_source source = { 0 };
	struct config *config = NULL;
	FILE *stream = NULL;
	struct err err;

	free(mistakes->file);
	mistakes->file = strdup(path);
	if (config_source_read(path, patience_ms, &source, &err) == 0) {
		stream = source.count ? fmemopen(source.items, source.count, "r") : fmemopen((char[]){ "\n" }, 1, "r");
		if (!stream)
			err_set(&err, errno, "cannot be read");
	}
	if (stream) {
		config = config_load_stream(stream, path, host_check, mistakes);
		fclose(stream);
	} else {
		mistakes->trouble = err.code;
		config_mistakes_add(mistakes, 0, "%s", err.text);
	}
	vec_free(&source);
	return config;
}

/* Puts TEXT, a list's values with spaces between, in the place of what CONFIG has. */
static void config_replace_value(const struct option *option, struct config *config, const char *text)
{
	struct option given = *option;

	given.initial = text;
	config_option_clear(option, config);
	config_option_set_default(&given, config);
}

unsigned config_reload(struct config *config, const struct config *from)
{
	unsigned others = 0;

	for (size_t i = 0; i < option_count; i++) {
		const struct option *option = &option_table[i];
		AUTO_FREE char *before = config_option_print(option, config);
		AUTO_FREE char *after = config_option_print(option, from);

		if (!before || !after || strcmp(before, after) == 0)
			continue;
		if (option->reloadable) {
			config_replace_value(option, config, after);
			log_info("option changed", F_STR("section", option->section), F_STR("key", option->key),
				 F_STR("from", before), F_STR("to", after));
		} else {
			others++;
			log_warning("option changes only with a restart", F_STR("section", option->section),
				    F_STR("key", option->key), F_STR("now", before), F_STR("file", after));
		}
	}
	return others;
}

void config_print_options(FILE *out)
{
	char allowed[OPTION_ALLOWED_SIZE];

	for (size_t i = 0; i < option_count; i++) {
		const struct option *option = &option_table[i];

		fprintf(out, "[%s] %s = %s\n", option->section, option->key, option->initial);
		fprintf(out, "\t%s\n\tAllowed: %s.%s\n", option->text, config_option_allowed(option, allowed),
			option->reloadable ? " Reloadable." : "");
	}
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A daemon goes by what it was started with, or last reloaded. Its file may say something else by now, which nobody notices until the next
 * start.
 */
#include "base/cleanup.h"
#include "config/config.h"
#include "health/doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMED_MAX = 6, OPTIONS_MAX = 128 };

/* The options of one configuration, in the order of the table, to be compared with those of another. */
struct configuration_values {
	char *values[OPTIONS_MAX];
	size_t count;
};

struct configuration_comparison {
	struct configuration_values ours;
	size_t next, differing;
	char text[320];
};

static void check_configuration_keep(void *context, const char *section, const char *key, const char *value, bool list)
{
	struct configuration_values *values = context;

	(void)section;
	(void)key;
	(void)list;
	if (values->count < OPTIONS_MAX)
		values->values[values->count++] = strdup(value);
}

static void check_configuration_compare(void *context, const char *section, const char *key, const char *value,
					bool list)
{
	struct configuration_comparison *comparison = context;
	const char *ours = comparison->next < comparison->ours.count ? comparison->ours.values[comparison->next] : NULL;
	size_t used = strlen(comparison->text);

	(void)list;
	comparison->next++;
	if (!ours || strcmp(ours, value) == 0)
		return;
	if (comparison->differing++ < NAMED_MAX)
		snprintf(comparison->text + used, sizeof(comparison->text) - used, "%s[%s] %s = %.40s (in use: %.40s)",
			 used ? ", " : "", section, key, value[0] ? value : "\"\"", ours[0] ? ours : "\"\"");
}

void check_configuration(const struct health_facts *facts, struct health_report *report)
{
	struct configuration_comparison comparison = { 0 };

	if (!facts->file)
		return;
	if (config_each_option(facts->config, check_configuration_keep, &comparison.ours) == 0)
		config_each_option(facts->file, check_configuration_compare, &comparison);
	for (size_t i = 0; i < comparison.ours.count; i++)
		free(comparison.ours.values[i]);
	if (!comparison.differing) {
		health_add(report, "configuration", HEALTH_OK, "weftd uses %s",
			   facts->file_path[0] ? facts->file_path : "the defaults, without a file");
		return;
	}
	struct health_finding *finding = health_add(
	    report, "configuration", HEALTH_WARN, "%s has %zu value%s that weftd does not use: %s%s",
	    facts->file_path[0] ? facts->file_path : "a start without a file", comparison.differing,
	    comparison.differing == 1 ? "" : "s", comparison.text, comparison.differing > NAMED_MAX ? ", ..." : "");
	health_why(finding,
		   "they come into force with the next reload or start, and all else here is judged by those in use; "
		   "live sandboxes keep the names and addresses that they have");
	health_fix(finding, "systemctl reload weftd; the log names those that take a restart");
}

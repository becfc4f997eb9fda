/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The five members are those that E2B's API writes. client-proxy routes by the address and wants the time to be one; weft knows no longest
 * life of a sandbox, and tells the longest that is usual there.
 */
#include "catalog/value.h"

#include "base/clock.h"
#include "config/config.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

enum { LIFE_HOURS = 24 };

void catalog_host_of(const struct config *config, struct catalog_host *host)
{
	struct utsname names;
	const char *name = config->catalog.host_id;

	if (!name)
		name = uname(&names) == 0 && names.nodename[0] ? names.nodename : "weft";
	snprintf(host->id, sizeof(host->id), "%s", name);
	for (char *c = host->id; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("_.:-", *c))
			*c = '-';
	snprintf(host->address, sizeof(host->address), "%s", config->catalog.address ? config->catalog.address : "");
}

char *catalog_value_format(const struct catalog_host *host, const struct catalog_entry *entry,
			   char text[static CATALOG_VALUE_SIZE])
{
	char mark[CATALOG_MARK_SIZE], started[CLOCK_TEXT_SIZE];

	snprintf(text, CATALOG_VALUE_SIZE,
		 "{\"orchestrator_id\":\"%s\",\"orchestrator_ip\":\"%s\",%s,"
		 "\"sandbox_started_at\":\"%s\",\"sandbox_max_length_in_hours\":%d}",
		 host->id, host->address, catalog_value_mark(entry->execution, mark),
		 clock_format_ms(entry->started_ms, started), LIFE_HOURS);
	return text;
}

char *catalog_value_mark(const char *execution, char mark[static CATALOG_MARK_SIZE])
{
	snprintf(mark, CATALOG_MARK_SIZE, "\"execution_id\":\"%s\"", execution);
	return mark;
}

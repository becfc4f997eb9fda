/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A tenant remembers the key of its entry, so that a change of its name is noticed wherever it came from. The new key is set before the old
 * one is removed: clients find the sandbox all the time.
 */
#include "daemon/publish.h"

#include "config/config.h"
#include "daemon/daemon.h"
#include "daemon/tenant.h"
#include "wire/write.h"

#include <string.h>

int daemon_publish_start(struct daemon *daemon, struct err *err)
{
	if (!daemon->config->catalog.redis)
		return 0;
	daemon->catalog = catalog_new(daemon->base, daemon->config, err);
	return daemon->catalog ? 0 : -1;
}

void daemon_publish_stop(struct daemon *daemon)
{
	catalog_free(daemon->catalog);
	daemon->catalog = NULL;
}

static const char *daemon_publish_key(const struct sandbox *sandbox)
{
	const char *name = registry_sandbox_name(sandbox);

	return name ? name : sandbox->id;
}

void daemon_publish(struct tenant *tenant, enum catalog_claim claim)
{
	struct catalog *catalog = tenant->daemon->catalog;
	const struct sandbox *sandbox = tenant->sandbox;
	const struct catalog_entry entry = { .execution = sandbox->execution, .started_ms = sandbox->registered_ms };
	const char *key = daemon_publish_key(sandbox);

	if (!catalog || strcmp(tenant->published, key) == 0)
		return;
	catalog_set(catalog, key, &entry, claim);
	if (tenant->published[0])
		catalog_remove(catalog, tenant->published, sandbox->execution);
	memcpy(tenant->published, key, strlen(key) + 1);
}

void daemon_publish_end(struct tenant *tenant)
{
	const struct sandbox *sandbox = tenant->sandbox;

	/* One that was being unregistered when the former run ended may have its entry still. */
	if (tenant->daemon->catalog && !tenant->kept)
		catalog_remove(tenant->daemon->catalog,
			       tenant->published[0] ? tenant->published : daemon_publish_key(sandbox),
			       sandbox->execution);
	tenant->published[0] = '\0';
}

json_t *daemon_publish_describe(const struct daemon *daemon)
{
	struct catalog_stats stats;

	if (!daemon->catalog)
		return json_null();
	catalog_stats(daemon->catalog, &stats);
	return json_pack("{s:s, s:b, s:I, s:I, s:I, s:o}", "redis", stats.redis, "up", stats.up, "published",
			 (json_int_t)stats.published, "pending", (json_int_t)stats.pending, "foreign",
			 (json_int_t)stats.foreign, "error", stats.error ? wire_write_text(stats.error) : json_null());
}

void daemon_publish_reload(struct daemon *daemon)
{
	if (daemon->catalog)
		catalog_reload(daemon->catalog);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where connections are handed over, the files are written before they come to a standstill. Afterwards only what has changed is
 * written once more.
 */
#include "daemon/last_state.h"

#include "base/err.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/handing_over.h"
#include "daemon/tenant.h"
#include "store/store.h"

/* For the next run: counters, last activity; and nothing of a registration that was cut off. */
static void daemon_last_state_save(struct daemon *daemon, struct sandbox *sandbox)
{
	struct tenant *tenant = daemon_tenant_of(sandbox);
	struct err err;
	int result;

	if (tenant->kept || tenant->unregistered)
		return;
	daemon_tenant_refresh(sandbox);
	if (sandbox->state == SANDBOX_CREATING && !tenant->stored)
		result = store_remove(daemon->store, sandbox->slot, &err);
	else
		result = store_save(daemon->store, sandbox, &err);
	if (result < 0)
		log_error("state not written", F_SANDBOX(sandbox), F_STR("error", err.text));
	tenant->unsaved = result < 0;
}

void daemon_last_state_write_early(struct daemon *daemon)
{
	for (struct sandbox *sandbox = registry_next(daemon->registry, 0); sandbox;
	     sandbox = registry_next(daemon->registry, sandbox->slot)) {
		struct tenant *tenant = daemon_tenant_of(sandbox);

		if (!tenant || tenant->busy || sandbox->state == SANDBOX_CREATING)
			continue;
		daemon_last_state_save(daemon, sandbox);
		tenant->written = !tenant->unsaved;
	}
}

void daemon_last_state_write(struct daemon *daemon, struct sandbox *sandbox)
{
	const struct tenant *tenant = daemon_tenant_of(sandbox);

	if (!daemon_handing_over_is_done(daemon) || !tenant->written || tenant->unsaved)
		daemon_last_state_save(daemon, sandbox);
}

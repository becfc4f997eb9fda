/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file that cannot be read may be the only trace of a sandbox: it is an operator's to mend or to remove. Until then neither
 * the registry nor the pool may use its slot.
 */
#include "daemon/reserve.h"

#include "base/err.h"
#include "config/config.h"
#include "daemon/daemon.h"
#include "fabric/fabric.h"
#include "registry/registry.h"

#include <errno.h>
#include <stdlib.h>

struct reserve {
	bool has[CONFIG_SLOT_MAX + 1]; /* by slot */
};

int daemon_reserve_start(struct daemon *daemon, struct err *err)
{
	daemon->reserve = calloc(1, sizeof(*daemon->reserve));
	return daemon->reserve ? 0 : err_set(err, ENOMEM, "start");
}

void daemon_reserve_stop(struct daemon *daemon)
{
	free(daemon->reserve);
	daemon->reserve = NULL;
}

void daemon_reserve_slot(struct daemon *daemon, unsigned slot, const char *why)
{
	daemon->reserve->has[slot] = true;
	registry_block_slot(daemon->registry, slot, why);
	fabric_shun(daemon->fabric, slot, true);
}

void daemon_reserve_release(struct daemon *daemon, unsigned slot)
{
	daemon->reserve->has[slot] = false;
	registry_unblock_slot(daemon->registry, slot);
	fabric_shun(daemon->fabric, slot, false);
}

bool daemon_reserve_has(const struct daemon *daemon, unsigned slot)
{
	return daemon->reserve->has[slot];
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Beginning and end of the fabric. In between, the main loop owns all records; builder and claimer work on copies that jobs
 * carry.
 *
 * At the end the threads stop after the jobs at hand, and jobs that wait are cancelled. All of them are finished on the main
 * thread, so that each caller that waits is answered exactly once and can free what it keeps.
 */
#include "fabric/state.h"

#include "base/log.h"
#include "base/spares.h"
#include "fabric/answer.h"
#include "fabric/host_facts.h"
#include "fabric/observe.h"
#include "fabric/patrol.h"
#include "fabric/pool.h"
#include "fabric/relief.h"
#include "fabric/scan_start.h"
#include "fabric/slot/host.h"
#include "fabric/suspects.h"
#include "fabric/teardown.h"
#include "fabric/trouble.h"
#include "fabric/watcher.h"
#include "kernel/sysctl.h"
#include "nft/closer.h"

#include <errno.h>
#include <stdlib.h>

static int fabric_prepare_host(struct fabric *fabric, struct err *err)
{
	unsigned mtu = HOST_MTU_FALLBACK;
	struct kern_rtnl host;
	int result, uplink;

	if (kern_rtnl_open(&host, -1, NETLINK_ROUTE, err) < 0)
		return -1;
	result = slot_build_host_mtu(&host, fabric->config, &uplink, &mtu, err);
	atomic_store(&fabric->mtu, mtu);
	if (result == 0 && !uplink && !fabric->config->layout.mtu)
		log_warning("no default route: links get an MTU of 1500 until there is one",
			    F_STR("fix", "set [addresses] mtu"));
	if (result == 0)
		result = slot_build_host(&host, fabric->config, err);
	kern_rtnl_close(&host);
	return result;
}

/* The listeners in the order in which they are notified; teardown comes last, as it moves the slot on. */
static int fabric_start_parts(struct fabric *fabric, struct err *err)
{
	fabric->pool = fabric_pool_new(fabric, err);
	fabric->suspects = fabric->pool ? fabric_suspects_new(fabric, err) : NULL;
	if (!fabric->suspects)
		return -1;
	fabric_report_moves(fabric);
	fabric_teardown_listen(fabric);
	fabric->patrol = fabric_patrol_new(fabric, err);
	fabric->observer = fabric->patrol ? fabric_observer_new(fabric, err) : NULL;
	fabric->host_facts = fabric->observer ? fabric_host_facts_new(fabric, err) : NULL;
	return fabric->host_facts ? 0 : -1;
}

static int fabric_start(struct fabric *fabric, struct err *err)
{
	fabric->slots = calloc(CONFIG_SLOT_MAX + 1, sizeof(*fabric->slots));
	fabric->shunned = calloc(CONFIG_SLOT_MAX + 1, sizeof(*fabric->shunned));
	fabric->by_nsid = calloc(NAMESPACE_ID_MAX + 1, sizeof(*fabric->by_nsid));
	if (!fabric->slots || !fabric->shunned || !fabric->by_nsid)
		return err_set(err, ENOMEM, "fabric");
	fabric->troubles = fabric_troubles_new(err);
	fabric->relief = fabric->troubles ? fabric_relief_new(fabric, err) : NULL;
	fabric->mailbox = fabric->relief ? base_mailbox_new(fabric->base, err) : NULL;
	if (!fabric->mailbox)
		return -1;
	base_spares_fill();
	fabric->answers = fabric_answers_new(fabric, err);
	fabric->scanning = fabric->answers ? fabric_scanning_new(fabric, err) : NULL;
	if (!fabric->scanning)
		return -1;
	fabric->traffic = fabric_traffic_new(fabric);
	fabric->activity = fabric_activity_new(fabric);
	if (!fabric->traffic || !fabric->activity)
		return err_set(err, ENOMEM, "fabric");
	fabric->clients = fabric_clients_new(fabric, err);
	if (!fabric->clients)
		return -1;
	if (fabric_prepare_host(fabric, err) < 0)
		return -1;
	if (nft_closer_start(err) < 0)
		return -1;
	fabric->builder = fabric_job_thread_new("weft-builder", fabric->mailbox, true, err);
	if (!fabric->builder)
		return -1;
	fabric->claimer = fabric_job_thread_new("weft-claimer", fabric->mailbox, false, err);
	if (!fabric->claimer)
		return -1;
	return fabric_start_parts(fabric, err);
}

struct fabric *fabric_new(struct event_base *base, const struct config *config, const struct fabric_watcher *watcher,
			  struct err *err)
{
	struct fabric *fabric = calloc(1, sizeof(*fabric));

	if (!fabric) {
		err_set(err, ENOMEM, "fabric");
		return NULL;
	}
	fabric->base = base;
	fabric->config = config;
	fabric->watcher = *watcher;
	TAILQ_INIT(&fabric->teardowns);
	if (fabric_start(fabric, err) == 0)
		return fabric;
	fabric_free(fabric);
	return NULL;
}

/* No veth is seen to go any more, so callers that wait for that are answered now. */
static void fabric_cancel_waiting(struct fabric *fabric)
{
	struct err err;

	err_set(&err, ECANCELED, "weftd is stopping");
	for (unsigned number = 1; number <= CONFIG_SLOT_MAX; number++) {
		struct slot *slot = fabric->slots[number];
		fabric_done *gone = slot ? slot->gone : NULL;

		if (!gone)
			continue;
		slot->gone = NULL;
		gone(slot->gone_context, &err);
	}
}

static void fabric_forget_all(struct fabric *fabric)
{
	for (unsigned number = 1; number <= CONFIG_SLOT_MAX; number++) {
		if (fabric->slots[number])
			fabric_slot_free(fabric->slots[number]);
	}
}

void fabric_forget_names(struct fabric *fabric)
{
	fabric_observer_forget_names(fabric->observer);
}

void fabric_free(struct fabric *fabric)
{
	if (!fabric)
		return;
	fabric->stopping = true;
	fabric_observer_free(fabric->observer);
	fabric_job_thread_stop(fabric->builder);
	fabric_job_thread_stop(fabric->claimer);
	if (fabric->slots)
		fabric_cancel_waiting(fabric);
	/* Delivers the jobs that are left, finished or cancelled, and those that they post, which are cancelled at once. */
	base_mailbox_free(fabric->mailbox);
	fabric_scanning_free(fabric->scanning);
	fabric_traffic_free(fabric->traffic);
	fabric_clients_free(fabric->clients);
	fabric_activity_free(fabric->activity);
	fabric_answers_free(fabric->answers);
	nft_closer_stop();
	if (fabric->slots)
		fabric_forget_all(fabric);
	fabric_patrol_free(fabric->patrol);
	fabric_host_facts_free(fabric->host_facts);
	fabric_suspects_free(fabric->suspects);
	fabric_pool_free(fabric->pool);
	fabric_relief_free(fabric->relief);
	fabric_troubles_free(fabric->troubles);
	fabric_job_thread_free(fabric->builder);
	fabric_job_thread_free(fabric->claimer);
	free(fabric->by_nsid);
	free(fabric->numbers);
	free(fabric->shunned);
	free(fabric->slots);
	free(fabric);
	base_spares_drop();
	kern_sysctl_close();
}

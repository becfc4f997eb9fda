/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A slot is made in steps, each with its reverse; a failure undoes those that were done, last first.
 *
 * The order is chosen for a daemon that may be killed between any two steps. Until the veth exists the namespace has no name
 * and dies with the process; from then on the veth's link group marks all as ours. The name comes next, so that a bound
 * namespace always has its mark. The host address gets its route only when everything behind it is in place.
 */
#include "fabric/slot/work.h"

#include "base/err.h"
#include "base/log.h"
#include "config/config.h"
#include "fabric/rules/rules.h"
#include "fabric/slot/fault.h"
#include "kernel/kern_route.h"
#include "kernel/link.h"
#include "kernel/tap.h"

#include <errno.h>
#include <unistd.h>

struct step {
	const char *name;
	int (*make)(struct slot_work *work, struct err *err);
	void (*undo)(struct slot_work *work); /* NULL: goes with the namespace */
};

/* An undo that fails leaves an object behind. The caller cannot do anything about it, so it is reported to the operator. */
static void slot_build_complain(const struct slot_work *work, const struct err *err)
{
	log_error("leftover of a failed slot", F_UINT("slot", work->plan->slot), F_STR("error", err->text));
}

/* Finds names that are taken before any object is made, and clears away a half-made name of our own. */
static int slot_build_check_name(struct slot_work *work, struct err *err)
{
	char path[CONFIG_PATH_SIZE];
	enum kern_namespace_file kind;

	config_netns_path(work->layout, work->plan->slot, path);
	if (kern_namespace_file_kind(path, &kind, err) < 0)
		return -1;
	switch (kind) {
	case NAMESPACE_FILE_NONE:
		return 0;
	case NAMESPACE_FILE_HALF_MADE:
		return kern_namespace_unbind(path, err);
	case NAMESPACE_FILE_NAMESPACE:
	case NAMESPACE_FILE_OTHER:
		work->foreign = true;
		return err_set(err, EEXIST, "namespace %s", path);
	}
	return 0;
}

static int slot_build_namespace(struct slot_work *work, struct err *err)
{
	if (slot_build_check_name(work, err) < 0)
		return -1;
	work->netns_fd = kern_namespace_make(err);
	if (work->netns_fd < 0)
		return -1;
	if (kern_namespace_key_read(work->netns_fd, &work->key, err) == 0 &&
	    kern_namespace_id_new(work->host, work->netns_fd, &work->nsid, err) == 0)
		return 0;
	close(work->netns_fd);
	work->netns_fd = -1;
	return -1;
}

static void slot_build_drop_namespace(struct slot_work *work)
{
	close(work->netns_fd);
	work->netns_fd = -1;
}

static void slot_build_delete_veth(struct slot_work *work)
{
	char name[CONFIG_LINK_SIZE];
	struct err err;

	if (kern_link_delete(work->host, KERN_LINK_HERE, config_veth_name(work->layout, work->plan->slot, name), &err) <
		0 &&
	    err.code != ENODEV)
		slot_build_complain(work, &err);
}

static void slot_build_unbind_name(struct slot_work *work)
{
	char path[CONFIG_PATH_SIZE];
	struct err err;

	if (kern_namespace_unbind(config_netns_path(work->layout, work->plan->slot, path), &err) < 0)
		slot_build_complain(work, &err);
}

static int slot_build_open_inside(struct slot_work *work, struct err *err)
{
	return kern_rtnl_open(&work->inside, work->netns_fd, NETLINK_ROUTE, err);
}

static void slot_build_close_inside(struct slot_work *work)
{
	kern_rtnl_close(&work->inside);
}

static void slot_build_unpublish(struct slot_work *work)
{
	struct err err;

	if (work->plan->nat_count && rules_host_publish(work->layout, work->plan->slot, NULL, 0, &err) < 0)
		slot_build_complain(work, &err);
}

static void slot_build_remove_route(struct slot_work *work)
{
	struct kern_route route = {
		.to = { .ip = config_host_ip(work->layout, work->plan->slot), .length = 32 },
		.gateway = config_veth_guest_ip(work->layout, work->plan->slot),
		.index = work->veth_index,
	};
	struct err err;

	if (kern_route_remove(work->host, &route, NULL, &err) < 0)
		slot_build_complain(work, &err);
}

static int slot_build_look(struct slot_work *work, struct err *err)
{
	struct kern_link tap;

	if (kern_link_get(&work->inside, KERN_LINK_HERE, TAP_NAME, &tap, err) < 0)
		return -1;
	work->carrier = tap.carrier;
	work->carrier_downs = tap.carrier_downs;
	work->mtu = tap.mtu;
	return 0;
}

static const struct step steps[] = {
	{ "namespace", slot_build_namespace, slot_build_drop_namespace },
	{ "veth", slot_build_veth, slot_build_delete_veth },
	{ "name", slot_build_name, slot_build_unbind_name },
	{ "socket", slot_build_open_inside, slot_build_close_inside },
	{ "host end", slot_build_host_end, NULL },
	{ "inside", slot_build_inside, NULL },
	{ "tap", slot_build_tap, NULL },
	{ "limit", slot_build_limit, NULL },
	{ "rules", slot_build_rules, NULL },
	{ "publish", slot_build_publish, slot_build_unpublish },
	{ "route", slot_build_route, slot_build_remove_route },
	{ "look", slot_build_look, NULL },
};

enum { STEP_COUNT = sizeof(steps) / sizeof(steps[0]) };

const char *const *slot_build_steps(void)
{
	static const char *names[STEP_COUNT + 1];

	for (size_t i = 0; i < STEP_COUNT; i++)
		names[i] = steps[i].name;
	return names;
}

static int slot_build_run_step(struct slot_work *work, const struct step *step, struct err *err)
{
	return slot_fault_check(step->name, err) < 0 ? -1 : step->make(work, err);
}

int slot_build_slot(struct slot_work *work, struct err *err)
{
	for (size_t i = 0; i < STEP_COUNT; i++) {
		if (slot_build_run_step(work, &steps[i], err) == 0)
			continue;
		err_wrap(err, "slot %u: %s", work->plan->slot, steps[i].name);
		while (i-- > 0) {
			if (steps[i].undo)
				steps[i].undo(work);
		}
		return -1;
	}
	kern_rtnl_close(&work->inside);
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Taking over a slot of a former run, by the same parts as in making. Each looks before it touches, and their order never cuts
 * traffic that flows. A slot that cannot be whole any more (no namespace, or another one under its name) has no guest that could
 * be reached; it is cleared away and made anew.
 */
#include "fabric/slot/work.h"

#include "base/err.h"
#include "config/config.h"
#include "fabric/slot/destroy.h"
#include "kernel/holders.h"
#include "kernel/link.h"
#include "kernel/tap.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Fills in the number of the namespace that is open. */
static int slot_adopt_find_number(struct slot_work *work, struct err *err)
{
	struct kern_namespace_key key;

	if (kern_namespace_key_read(work->netns_fd, &key, err) < 0)
		return -1;
	if (!kern_namespace_key_equal(&key, &work->number.key))
		return kern_namespace_id(work->host, work->netns_fd, &work->nsid, err);
	work->nsid = work->number.nsid;
	return 0;
}

/* Opens the namespace under the slot's name, if the veth leads into it. ENOENT: it does not. */
static int slot_adopt_find_named(struct slot_work *work, const struct kern_link *veth, struct err *err)
{
	char path[CONFIG_PATH_SIZE];

	work->netns_fd = kern_namespace_open(config_netns_path(work->config, work->plan->slot, path), err);
	if (work->netns_fd < 0) {
		if (err->code == EINVAL || err->code == ELOOP || err->code == ENXIO)
			err->code = ENOENT;
		return -1;
	}
	if (slot_adopt_find_number(work, err) == 0) {
		if (veth->has_peer_nsid && veth->peer_nsid == work->nsid)
			return 0;
		err_set(err, ENOENT, "%s is not the namespace of %s", path, veth->name);
	}
	close(work->netns_fd);
	work->netns_fd = -1;
	return -1;
}

/* *LIVES: a VM has the TAP of the namespace NSID. 0, or -1 with ERR if that is not known. */
static int slot_adopt_find_vm(struct slot_work *work, int nsid, bool *lives, struct err *err)
{
	struct kern_link tap;
	struct err why;

	*lives = false;
	if (kern_link_get(work->host, nsid, TAP_NAME, &tap, &why) == 0) {
		*lives = tap.carrier;
		return 0;
	}
	/* EINVAL: the namespace is gone. */
	if (why.code == ENODEV || why.code == EINVAL)
		return 0;
	*err = why;
	return -1;
}

/*
 * The veth is there, and its namespace has no name any more. A VM that lives in it keeps it, and its process leads us to it.
 * If we cannot see that process, nothing may be taken apart under it. ENOENT: no VM lives there.
 */
static int slot_adopt_find_unnamed(struct slot_work *work, const struct kern_link *veth, struct err *err)
{
	char path[CONFIG_PATH_SIZE];
	enum kern_namespace_file kind;
	bool lives;

	config_netns_path(work->config, work->plan->slot, path);
	if (!veth->has_peer_nsid)
		return -1;
	if (kern_namespace_file_kind(path, &kind, err) < 0 ||
	    slot_adopt_find_vm(work, veth->peer_nsid, &lives, err) < 0)
		return -1;
	if (lives && (kind == NAMESPACE_FILE_NAMESPACE || kind == NAMESPACE_FILE_OTHER))
		return err_set(err, EEXIST, "%s is not ours, and a VM lives in the namespace that had this name", path);
	if (!lives)
		return err_set(err, ENOENT, "namespace %s", path);
	work->nsid = veth->peer_nsid;
	work->netns_fd = kern_holders_find_namespace(work->host, veth->peer_nsid, TAP_NAME);
	if (work->netns_fd < 0)
		return err_set(err, EBUSY, "%s is gone, and a VM that cannot be seen from here lives in its namespace",
			       path);
	return 0;
}

/* Finds VETH and namespace of the slot. ENOENT: they do not belong together, or one is missing. */
static int slot_adopt_find(struct slot_work *work, struct kern_link *veth, struct err *err)
{
	char name[CONFIG_LINK_SIZE];

	if (kern_link_get(work->host, KERN_LINK_HERE, config_veth_name(work->config, work->plan->slot, name), veth,
			  err) < 0) {
		if (err->code == ENODEV)
			err_set(err, ENOENT, "link %s", name);
		return -1;
	}
	if (veth->group != work->config->names.link_group) {
		work->foreign = true;
		return err_set(err, EEXIST, "link %s is not ours (group %u)", name, veth->group);
	}
	work->veth_index = veth->index;
	if (slot_adopt_find_named(work, veth, err) < 0 &&
	    (err->code != ENOENT || slot_adopt_find_unnamed(work, veth, err) < 0))
		return -1;
	if (kern_namespace_key_read(work->netns_fd, &work->key, err) == 0)
		return 0;
	close(work->netns_fd);
	work->netns_fd = -1;
	return -1;
}

static int slot_adopt_repair_name(struct slot_work *work, struct err *err)
{
	char path[CONFIG_PATH_SIZE];
	enum kern_namespace_file kind;

	config_netns_path(work->config, work->plan->slot, path);
	if (kern_namespace_file_kind(path, &kind, err) < 0)
		return -1;
	if (kind == NAMESPACE_FILE_NAMESPACE)
		return 0;
	if (kind == NAMESPACE_FILE_HALF_MADE && kern_namespace_unbind(path, err) < 0)
		return -1;
	slot_build_note_repair(work, "name of the namespace");
	return slot_build_name(work, err);
}

static int slot_adopt_take_over(struct slot_work *work, struct err *err)
{
	static int (*const parts[])(struct slot_work * work, struct err * err) = {
		slot_build_host_end, slot_build_inside, slot_build_tap,
		slot_build_limit,    slot_build_route,  slot_adopt_repair_name,
	};
	struct kern_link tap;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (parts[i](work, err) < 0)
			return -1;
	}
	if (kern_link_get(&work->inside, KERN_LINK_HERE, TAP_NAME, &tap, err) < 0)
		return -1;
	work->carrier = tap.carrier;
	work->mtu = tap.mtu;
	return 0;
}

static int slot_adopt_make_anew(struct slot_work *work, struct err *err)
{
	struct slot_remains remains = { .slot = work->plan->slot, .nsid = -1, .leftovers = true };

	if (slot_destroy_slot(work->host, work->config, &remains, err) < 0 ||
	    slot_destroy_links(work->host, work->config, &remains, err) < 0)
		return err_wrap(err, "slot %u", work->plan->slot);
	work->adopting = false;
	if (slot_build_slot(work, err) < 0)
		return -1;
	work->adopting = true;
	slot_build_note_repair(work, "slot was not whole; made anew");
	return 0;
}

int slot_adopt_links(struct slot_work *work, struct err *err)
{
	struct kern_link veth;
	int result;

	work->adopting = true;
	if (slot_adopt_find(work, &veth, err) < 0)
		return err->code == ENOENT ? slot_adopt_make_anew(work, err)
					   : err_wrap(err, "slot %u", work->plan->slot);
	work->veth = &veth;
	result = slot_adopt_take_over(work, err);
	work->veth = NULL;
	kern_rtnl_close(&work->inside);
	work->named = slot_build_is_named(work->plan, &veth);
	if (result == 0)
		return 0;
	close(work->netns_fd);
	work->netns_fd = -1;
	return err_wrap(err, "slot %u", work->plan->slot);
}

int slot_adopt_rules(struct slot_work *work, struct err *err)
{
	if (slot_build_rules(work, err) == 0 && slot_build_publish(work, err) == 0)
		return 0;
	close(work->netns_fd);
	work->netns_fd = -1;
	return err_wrap(err, "slot %u", work->plan->slot);
}

int slot_adopt_unchanged(struct slot_work *work, struct err *err)
{
	struct kern_link veth, tap;

	if (slot_adopt_find(work, &veth, err) < 0)
		return err_wrap(err, "slot %u", work->plan->slot);
	if (kern_link_get(work->host, work->nsid, TAP_NAME, &tap, err) < 0) {
		close(work->netns_fd);
		work->netns_fd = -1;
		return err_wrap(err, "slot %u", work->plan->slot);
	}
	work->carrier = tap.carrier;
	work->mtu = tap.mtu;
	return 0;
}

/* Makes the veth of a live slot again if it was deleted. */
static int slot_adopt_repair_veth(struct slot_work *work, struct err *err)
{
	char name[CONFIG_LINK_SIZE];
	struct kern_link veth;

	if (kern_link_get(work->host, KERN_LINK_HERE, config_veth_name(work->config, work->plan->slot, name), &veth,
			  err) == 0) {
		if (veth.group == work->config->names.link_group && strcmp(veth.kind, "veth") == 0)
			return 0;
		work->failure = FAILURE_LINK;
		return err_set(err, EEXIST, "link %s is not ours (kind %s, group %u)", name, veth.kind, veth.group);
	}
	if (err->code != ENODEV)
		return -1;
	slot_build_note_repair(work, "veth");
	return slot_build_veth(work, err);
}

int slot_adopt_repair(struct slot_work *work, struct err *err)
{
	static int (*const parts[])(struct slot_work * work, struct err * err) = {
		slot_adopt_repair_veth, slot_build_host_end, slot_build_inside,
		slot_build_tap,         slot_build_route,    slot_adopt_repair_name,
	};
	int result = 0;

	work->adopting = true;
	for (size_t i = 0; result == 0 && i < sizeof(parts) / sizeof(parts[0]); i++)
		result = parts[i](work, err);
	if (result == 0 && work->plan->bandwidth->to_guest.rate)
		result = slot_build_limit(work, err);
	kern_rtnl_close(&work->inside);
	return result;
}

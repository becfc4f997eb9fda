/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Taking over a slot of a former run, by the same parts as in making. Each looks before it touches, and their order never cuts
 * traffic that flows.
 *
 * A namespace is the slot's own if our veth leads into it, or if it has the device and inode that were stored. Another one under the
 * slot's name proves a failure. Where no namespace and no VM is left, nothing is lost: the rest is cleared away, and the slot made
 * anew. All other errors mean that it is not known how the slot is, and nothing is concluded from them.
 *
 * A proved failure is a report and no act, over a restart too: where the slot's own namespace can still be opened, by its name or
 * through the VM that lives in it, the slot is taken over as it is, and its endpoints serve the VM. The rest waits for repairs.
 */
#include "fabric/slot/work.h"

#include "base/err.h"
#include "config/config.h"
#include "fabric/slot/answers.h"
#include "fabric/slot/destroy.h"
#include "kernel/holders.h"
#include "kernel/link.h"
#include "kernel/tap.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* What is left of a slot. */
enum remnant {
	REMNANT_UNKNOWN, /* ERR says why */
	REMNANT_WHOLE,   /* veth and namespace, which is open */
	REMNANT_NO_VETH, /* the namespace alone, which is open */
	REMNANT_NOTHING, /* no namespace, and no VM */
	REMNANT_FAILED,  /* WORK->failure is proved; the namespace is ours, and open */
};

static void slot_adopt_close_namespace(struct slot_work *work)
{
	close(work->netns_fd);
	work->netns_fd = -1;
}

/* Fills in key and number of the namespace that is open. On failure it is closed. */
static int slot_adopt_identify(struct slot_work *work, struct err *err)
{
	int result = kern_namespace_key_read(work->netns_fd, &work->key, err);

	if (result == 0 && kern_namespace_key_equal(&work->key, &work->number.key))
		work->nsid = work->number.nsid;
	else if (result == 0)
		result = kern_namespace_id(work->host, work->netns_fd, &work->nsid, err);
	if (result < 0)
		slot_adopt_close_namespace(work);
	return result;
}

/* The key of the namespace as the caller stored it; a zero inode if it is not known. */
static struct kern_namespace_key slot_adopt_stored(const struct slot_work *work)
{
	return (struct kern_namespace_key){ .device = (dev_t)work->plan->netns_device,
					    .inode = (ino_t)work->plan->netns_inode };
}

/* The number of the slot's own namespace, or -1. */
static int slot_adopt_own_nsid(const struct slot_work *work)
{
	struct kern_namespace_key stored = slot_adopt_stored(work);
	char path[CONFIG_PATH_SIZE];
	struct err ignored;
	int fd, nsid;

	if (work->nsid >= 0 || !stored.inode)
		return work->nsid;
	fd = kern_namespace_open_known(config_netns_path(work->layout, work->plan->slot, path), &stored, &ignored);
	if (fd < 0)
		fd = kern_holders_find_known(&stored, TAP_NAME);
	if (fd < 0)
		return -1;
	if (kern_namespace_id(work->host, fd, &nsid, &ignored) < 0)
		nsid = -1;
	close(fd);
	return nsid;
}

/* Somebody took our mark from a veth; its other end is in the slot's own namespace all the same. */
static bool slot_adopt_leads_inside(const struct slot_work *work, const struct kern_link *veth)
{
	return strcmp(veth->kind, "veth") == 0 && veth->has_peer_nsid && veth->peer_nsid == slot_adopt_own_nsid(work);
}

/* A veth of ours that has lost its name gets it back. *THERE: VETH is filled in. */
static int slot_adopt_find_renamed(struct slot_work *work, struct kern_link *veth, bool *there, struct err *err)
{
	const char *name = work->list.links[PLACE_VETH].name;
	struct err ignored;

	*there = work->veth_index && kern_link_get_index(work->host, work->veth_index, veth, &ignored) == 0 &&
		 slot_adopt_leads_inside(work, veth);
	if (!*there || !slot_build_must(work, "name of the veth"))
		return 0;
	if (kern_link_rename(work->host, veth->index, name, err) < 0)
		return -1;
	return kern_link_get(work->host, KERN_LINK_HERE, name, veth, err);
}

/* Finds the VETH under the slot's name. *THERE: it is there, and ours. */
static int slot_adopt_find_veth(struct slot_work *work, struct kern_link *veth, bool *there, struct err *err)
{
	const char *name = work->list.links[PLACE_VETH].name;

	*there = false;
	if (kern_link_get(work->host, KERN_LINK_HERE, name, veth, err) < 0)
		return err->code == ENODEV ? slot_adopt_find_renamed(work, veth, there, err) : -1;
	if ((veth->group != work->layout->link_group || strcmp(veth->kind, "veth") != 0) &&
	    !slot_adopt_leads_inside(work, veth)) {
		work->failure = FAILURE_LINK;
		err_set(err, 0, "link %s is not ours (kind %s, group %u)", name, veth->kind, veth->group);
		err->code = EEXIST; /* whose text would say no more */
		return -1;
	}
	*there = true;
	work->veth_index = veth->index;
	return 0;
}

/* The namespace under the slot's name is open: judges whose it is. */
static enum remnant slot_adopt_judge_named(struct slot_work *work, const struct kern_link *veth, const char *path,
					   struct err *err)
{
	struct kern_namespace_key stored = slot_adopt_stored(work);

	if (veth && veth->has_peer_nsid && veth->peer_nsid == work->nsid)
		return REMNANT_WHOLE;
	if (!kern_namespace_key_equal(&stored, &work->key)) {
		slot_adopt_close_namespace(work);
		work->failure = FAILURE_NAMESPACE;
		err_set(err, 0, "%s leads to a namespace that is not ours", path);
		return REMNANT_UNKNOWN;
	}
	/* A veth of ours that leads elsewhere is of no use to the namespace, and has its name. */
	if (veth && kern_link_delete(work->host, KERN_LINK_HERE, veth->name, err) < 0 && err->code != ENODEV) {
		slot_adopt_close_namespace(work);
		return REMNANT_UNKNOWN;
	}
	return REMNANT_NO_VETH;
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
 * The namespace has no name any more. A VM that lives in it keeps it, and its process leads us to it. If our veth shows such a VM, and
 * we cannot see the process, nothing may be taken apart under it.
 */
static enum remnant slot_adopt_find_unnamed(struct slot_work *work, const struct kern_link *veth, const char *path,
					    struct err *err)
{
	struct kern_namespace_key stored = slot_adopt_stored(work);
	bool leads = veth && veth->has_peer_nsid;
	bool lives = false;

	if (leads && slot_adopt_find_vm(work, veth->peer_nsid, &lives, err) < 0)
		return REMNANT_UNKNOWN;
	if (leads ? !lives : !stored.inode)
		return REMNANT_NOTHING;
	work->netns_fd = leads ? kern_holders_find_namespace(work->host, veth->peer_nsid, TAP_NAME)
			       : kern_holders_find_known(&stored, TAP_NAME);
	if (work->netns_fd < 0 && !leads)
		return REMNANT_NOTHING;
	if (work->netns_fd < 0) {
		err_set(err, EBUSY, "%s is gone, and a VM that cannot be seen from here lives in its namespace", path);
		return REMNANT_UNKNOWN;
	}
	if (slot_adopt_identify(work, err) < 0)
		return REMNANT_UNKNOWN;
	return leads ? REMNANT_WHOLE : REMNANT_NO_VETH;
}

static enum remnant slot_adopt_find_by_name(struct slot_work *work, struct kern_link *veth, const char *path,
					    struct err *err)
{
	enum kern_namespace_file kind;
	bool there;

	if (slot_adopt_find_veth(work, veth, &there, err) < 0 || kern_namespace_file_kind(path, &kind, err) < 0)
		return REMNANT_UNKNOWN;
	switch (kind) {
	case NAMESPACE_FILE_NONE:
	case NAMESPACE_FILE_HALF_MADE:
		return slot_adopt_find_unnamed(work, there ? veth : NULL, path, err);
	case NAMESPACE_FILE_NAMESPACE:
		work->netns_fd = kern_namespace_open(path, err);
		if (work->netns_fd < 0 || slot_adopt_identify(work, err) < 0)
			return REMNANT_UNKNOWN;
		return slot_adopt_judge_named(work, there ? veth : NULL, path, err);
	case NAMESPACE_FILE_OTHER:
		break;
	}
	err_set(err, EEXIST, "%s is another's file", path);
	return REMNANT_UNKNOWN;
}

/* The namespace that was stored, or else the one that VETH, which is ours, leads to; NULL: there is none. -1: out of reach. */
static int slot_adopt_open_own(const struct slot_work *work, const struct kern_link *veth, const char *path)
{
	struct kern_namespace_key stored = slot_adopt_stored(work);
	struct err ignored;
	int fd;

	if (!stored.inode)
		return veth && veth->has_peer_nsid ? kern_holders_find_namespace(work->host, veth->peer_nsid, TAP_NAME)
						   : -1;
	fd = kern_namespace_open_known(path, &stored, &ignored);
	return fd < 0 ? kern_holders_find_known(&stored, TAP_NAME) : fd;
}

/* WORK->failure is proved: opens the slot's own namespace, if that is still possible. */
static enum remnant slot_adopt_find_own(struct slot_work *work, const struct kern_link *veth, const char *path,
					struct err *err)
{
	work->netns_fd = slot_adopt_open_own(work, veth, path);
	if (work->netns_fd < 0 || slot_adopt_identify(work, err) < 0)
		return REMNANT_UNKNOWN;
	return REMNANT_FAILED;
}

static void slot_adopt_note_failure(struct slot_work *work, const struct err *err)
{
	work->why = *err;
	err_wrap(&work->why, "slot %u", work->plan->slot);
}

static enum remnant slot_adopt_find(struct slot_work *work, struct kern_link *veth, struct err *err)
{
	char path[CONFIG_PATH_SIZE];
	enum remnant remnant;

	config_netns_path(work->layout, work->plan->slot, path);
	remnant = slot_adopt_find_by_name(work, veth, path, err);
	if (!work->failure)
		return remnant;
	slot_adopt_note_failure(work, err);
	return slot_adopt_find_own(work, work->veth_index ? veth : NULL, path, err);
}

/* Another namespace under the name leaves us our own, which we have open, and cannot be taken away. */
static int slot_adopt_expect_own_name(struct slot_work *work, const char *path, struct err *err)
{
	struct kern_namespace_key own;
	int fd;

	if (kern_namespace_key_read(work->netns_fd, &own, err) < 0)
		return -1;
	fd = kern_namespace_open_known(path, &own, err);
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

static int slot_adopt_repair_name(struct slot_work *work, struct err *err)
{
	char path[CONFIG_PATH_SIZE];
	enum kern_namespace_file kind;

	config_netns_path(work->layout, work->plan->slot, path);
	if (kern_namespace_file_kind(path, &kind, err) < 0)
		return -1;
	if (kind == NAMESPACE_FILE_NAMESPACE)
		return slot_adopt_expect_own_name(work, path, err);
	if (kind == NAMESPACE_FILE_HALF_MADE && !work->looking && kern_namespace_unbind(path, err) < 0)
		return -1;
	return slot_build_must(work, "name of the namespace") ? slot_build_name(work, err) : 0;
}

static int slot_adopt_pass(struct slot_work *work, struct err *err)
{
	static int (*const parts[])(struct slot_work * work, struct err * err) = {
		slot_build_host_end, slot_build_inside, slot_build_tap,
		slot_build_limit,    slot_build_route,  slot_adopt_repair_name,
	};

	work->rivalled = false;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (parts[i](work, err) < 0)
			return -1;
	return 0;
}

/* Passes over all parts until one has found nothing to repair. */
static int slot_adopt_take_over(struct slot_work *work, struct err *err)
{
	enum { PASSES = 4 };
	struct kern_link tap;

	for (int pass = 0;; pass++) {
		size_t before = strlen(work->repaired);

		if (slot_adopt_pass(work, err) < 0)
			return -1;
		if (!work->repaired[before])
			break;
		if (pass == PASSES - 1)
			return err_set(err, EAGAIN, "altered while it was repaired: %s",
				       work->repaired + before + (before ? 2 : 0));
		/* What a later pass finds is the same again, or came from outside. */
		work->veth = NULL;
		work->eth0.index = work->tap.index = 0;
		if (pass)
			work->repaired[before] = '\0';
	}
	if (kern_link_get(&work->inside, KERN_LINK_HERE, TAP_NAME, &tap, err) < 0)
		return -1;
	work->carrier = tap.carrier;
	work->carrier_downs = tap.carrier_downs;
	work->mtu = tap.mtu;
	return 0;
}

static int slot_adopt_make_anew(struct slot_work *work, struct err *err)
{
	struct slot_remains remains = {
		.slot = work->plan->slot, .layout = work->layout, .nsid = -1, .leftovers = true
	};

	if (slot_destroy_slot(work->host, &remains, err) < 0 || slot_destroy_links(work->host, &remains, err) < 0)
		return err_wrap(err, "slot %u", work->plan->slot);
	work->adopting = false;
	if (slot_build_slot(work, err) < 0)
		return -1;
	work->adopting = true;
	work->anew = true;
	slot_build_must(work, "slot was not whole; made anew");
	return 0;
}

/* Makes the veth of a live slot again if it was deleted. */
static int slot_adopt_repair_veth(struct slot_work *work, struct err *err)
{
	struct kern_link veth;
	bool there;

	if (slot_adopt_find_veth(work, &veth, &there, err) < 0)
		return -1;
	if (there)
		return 0;
	if (!slot_build_must(work, "veth"))
		return err_set(err, ENODEV, "link %s", work->list.links[PLACE_VETH].name);
	return slot_build_veth(work, err);
}

/* The slot has failed, and its namespace is open: takes over what its VM says, and no more. On failure the namespace is closed. */
static int slot_adopt_as_it_is(struct slot_work *work, struct err *err)
{
	struct kern_link tap = { 0 };

	if (kern_link_get(work->host, work->nsid, TAP_NAME, &tap, err) < 0 && err->code != ENODEV) {
		slot_adopt_close_namespace(work);
		return err_wrap(err, "slot %u", work->plan->slot);
	}
	work->carrier = tap.tap && tap.carrier;
	work->carrier_downs = tap.carrier_downs;
	if (tap.tap)
		work->mtu = tap.mtu;
	return 0;
}

/*
 * The daemon ended before it stored the MTU. A guest may have been told it, so it is that of the TAP, whatever new slots get by now;
 * without a TAP nobody was told.
 */
static int slot_adopt_take_mtu(struct slot_work *work, struct err *err)
{
	struct kern_link tap;

	if (work->plan->mtu)
		return 0;
	if (kern_link_get(work->host, work->nsid, TAP_NAME, &tap, err) < 0)
		return err->code == ENODEV ? 0 : -1;
	if (tap.tap) {
		work->mtu = tap.mtu;
		slot_list_put_mtu(&work->list, tap.mtu);
	}
	return 0;
}

int slot_adopt_links(struct slot_work *work, struct err *err)
{
	struct kern_link veth;
	enum remnant remnant;
	int result;

	work->adopting = true;
	remnant = slot_adopt_find(work, &veth, err);
	if (remnant == REMNANT_NOTHING)
		return slot_adopt_make_anew(work, err);
	if (remnant == REMNANT_UNKNOWN)
		return err_wrap(err, "slot %u", work->plan->slot);
	if (remnant == REMNANT_FAILED)
		return slot_adopt_as_it_is(work, err);
	work->named = remnant == REMNANT_WHOLE && slot_build_is_named(work->plan, &veth);
	work->veth = remnant == REMNANT_WHOLE ? &veth : NULL;
	result = slot_adopt_take_mtu(work, err);
	if (result == 0 && remnant != REMNANT_WHOLE)
		result = slot_adopt_repair_veth(work, err);
	if (result == 0)
		result = slot_adopt_take_over(work, err);
	work->veth = NULL;
	kern_rtnl_close(&work->inside);
	if (result == 0)
		return 0;
	if (work->failure) {
		slot_adopt_note_failure(work, err);
		return slot_adopt_as_it_is(work, err);
	}
	slot_adopt_close_namespace(work);
	return err_wrap(err, "slot %u", work->plan->slot);
}

int slot_adopt_rules(struct slot_work *work, struct err *err)
{
	struct err ignored;

	/* A run that was killed amid a pause may have left it the other way. It is no reason not to take the slot over. */
	(void)slot_answers_set(work->netns_fd, work->plan->paused, &ignored);
	if (slot_build_rules(work, err) == 0 && slot_build_publish(work, err) == 0)
		return 0;
	slot_adopt_close_namespace(work);
	return err_wrap(err, "slot %u", work->plan->slot);
}

int slot_adopt_unchanged(struct slot_work *work, struct err *err)
{
	struct kern_link veth, tap;
	enum remnant remnant = slot_adopt_find(work, &veth, err);

	if (remnant == REMNANT_NOTHING)
		err_set(err, ENOENT, "no VM lives there any more");
	if (remnant == REMNANT_NOTHING || remnant == REMNANT_UNKNOWN)
		return err_wrap(err, "slot %u", work->plan->slot);
	if (kern_link_get(work->host, work->nsid, TAP_NAME, &tap, err) < 0) {
		slot_adopt_close_namespace(work);
		return err_wrap(err, "slot %u", work->plan->slot);
	}
	work->carrier = tap.carrier;
	work->carrier_downs = tap.carrier_downs;
	work->mtu = tap.mtu;
	return 0;
}

int slot_adopt_repair(struct slot_work *work, struct err *err)
{
	static int (*const parts[])(struct slot_work * work, struct err * err) = {
		slot_adopt_repair_veth, slot_build_host_end, slot_build_inside,      slot_build_tap,
		slot_build_limit,       slot_build_route,    slot_adopt_repair_name,
	};
	int result = 0;

	work->adopting = true;
	for (size_t i = 0; result == 0 && i < sizeof(parts) / sizeof(parts[0]); i++)
		result = parts[i](work, err);
	kern_rtnl_close(&work->inside);
	return result;
}

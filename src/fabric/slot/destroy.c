/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host address stops answering first, then the name goes. The kernel does the rest in its own time, in one sweep for many
 * namespaces. A bound namespace is unbound only if the veth with our mark leads into it.
 */
#include "fabric/slot/destroy.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "config/config.h"
#include "fabric/rules/rules.h"
#include "kernel/kern_route.h"
#include "kernel/link.h"
#include "kernel/namespace.h"
#include "kernel/sock_kill.h"
#include "kernel/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>

/* Puts our veth of the slot into VETH; *THERE is false if there is none, or a foreign one. */
static int slot_destroy_find_veth(struct kern_rtnl *host, const struct slot_remains *remains, struct kern_link *veth,
				  bool *there, struct err *err)
{
	char name[CONFIG_LINK_SIZE];

	*there = false;
	if (kern_link_get(host, KERN_LINK_HERE, config_veth_name(remains->layout, remains->slot, name), veth, err) < 0)
		return err->code == ENODEV ? 0 : -1;
	*there = veth->group == remains->layout->link_group;
	return 0;
}

static int slot_destroy_route(struct kern_rtnl *host, const struct slot_remains *remains, int index, struct err *err)
{
	struct kern_route route = {
		.to = { .ip = config_host_ip(remains->layout, remains->slot), .length = 32 },
		.gateway = config_veth_guest_ip(remains->layout, remains->slot),
		.index = index,
	};

	return kern_route_remove(host, &route, NULL, err);
}

/* *OURS: our veth leads into the namespace bound at PATH. Then sockets of a former run are ended in it, if there may be any. */
static int slot_destroy_check_namespace(struct kern_rtnl *host, const char *path, const struct slot_remains *remains,
					bool *ours, struct err *err)
{
	AUTO_FD int fd = kern_namespace_open(path, err);
	int nsid;

	*ours = false;
	if (fd < 0)
		return err->code == ENOENT ? 0 : -1;
	if (kern_namespace_id(host, fd, &nsid, err) < 0)
		return -1;
	*ours = remains->nsid >= 0 && nsid == remains->nsid;
	if (*ours && remains->leftovers)
		return kern_sock_kill_all(fd, err);
	return 0;
}

static bool slot_destroy_is_fixed(const char *path)
{
	struct statx seen;

	return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, 0, &seen) == 0 &&
	       seen.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND);
}

/* A namespace that is bound still is the one that was to go: the attempt found no memory, or the like. */
static bool slot_destroy_is_namespace(const char *path)
{
	struct statfs found;

	return statfs(path, &found) < 0 || found.f_type == NSFS_MAGIC;
}

/*
 * The name at PATH could not be removed. Whether that is somebody's doing: DIRECTORY was made read-only, or one of both unchangeable, or
 * another's file system or directory stands in the name's place.
 */
static bool slot_destroy_is_refused(const char *directory, const char *path)
{
	struct statvfs mounted;
	struct stat parent, name;

	if (statvfs(directory, &mounted) == 0 && mounted.f_flag & ST_RDONLY)
		return true;
	if (slot_destroy_is_fixed(directory) || slot_destroy_is_fixed(path))
		return true;
	return !slot_destroy_is_namespace(path) && stat(directory, &parent) == 0 && lstat(path, &name) == 0 &&
	       (S_ISDIR(name.st_mode) || name.st_dev != parent.st_dev);
}

static int slot_destroy_name(struct kern_rtnl *host, struct slot_remains *remains, struct err *err)
{
	char path[CONFIG_PATH_SIZE];
	enum kern_namespace_file kind;
	bool ours = false;

	config_netns_path(remains->layout, remains->slot, path);
	if (kern_namespace_file_kind(path, &kind, err) < 0)
		return -1;
	switch (kind) {
	case NAMESPACE_FILE_NONE:
	case NAMESPACE_FILE_OTHER:
		return 0;
	case NAMESPACE_FILE_HALF_MADE:
		ours = true;
		break;
	case NAMESPACE_FILE_NAMESPACE:
		if (slot_destroy_check_namespace(host, path, remains, &ours, err) < 0)
			return -1;
		break;
	}
	if (!ours)
		return 0;
	remains->had_name = true;
	if (kern_namespace_unbind(path, err) == 0)
		return 0;
	remains->refused = slot_destroy_is_refused(remains->layout->netns_dir, path);
	return -1;
}

int slot_destroy_slot(struct kern_rtnl *host, struct slot_remains *remains, struct err *err)
{
	struct kern_link veth;

	if (slot_destroy_find_veth(host, remains, &veth, &remains->had_veth, err) < 0)
		return err_wrap(err, "slot %u", remains->slot);
	if (remains->had_veth && veth.has_peer_nsid)
		remains->nsid = veth.peer_nsid;
	if (remains->had_veth && slot_destroy_route(host, remains, veth.index, err) < 0)
		return err_wrap(err, "slot %u", remains->slot);
	if (remains->published && rules_host_publish(remains->layout, remains->slot, NULL, 0, err) < 0)
		return err_wrap(err, "slot %u", remains->slot);
	if (remains->asleep && rules_host_wake_forget(remains->layout, remains->slot, err) < 0)
		return err_wrap(err, "slot %u", remains->slot);
	if (slot_destroy_name(host, remains, err) < 0)
		return err_wrap(err, "slot %u", remains->slot);
	return 0;
}

int slot_destroy_links(struct kern_rtnl *host, const struct slot_remains *remains, struct err *err)
{
	char name[CONFIG_LINK_SIZE];
	struct kern_link veth;
	bool there;

	if (slot_destroy_find_veth(host, remains, &veth, &there, err) < 0)
		return err_wrap(err, "slot %u", remains->slot);
	if (!there)
		return 0;
	/* EINVAL: the namespace is gone by now, and the TAP with it. */
	if (veth.has_peer_nsid && kern_link_delete(host, veth.peer_nsid, TAP_NAME, err) < 0 && err->code != ENODEV &&
	    err->code != EINVAL)
		return err_wrap(err, "slot %u", remains->slot);
	if (kern_link_delete(host, KERN_LINK_HERE, config_veth_name(remains->layout, remains->slot, name), err) < 0 &&
	    err->code != ENODEV)
		return err_wrap(err, "slot %u", remains->slot);
	return 0;
}

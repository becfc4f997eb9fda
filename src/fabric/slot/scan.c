/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One dump of the host's links gives the slots, whose veths are in our group. The links inside each are asked for by the
 * number of the namespace that the veth leads to. Then the directory of namespaces is read: a name that belongs to none of
 * these is foreign, and so is a link with our name outside our group.
 */
#include "fabric/slot/scan.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "base/spares.h"
#include "config/layouts.h"
#include "kernel/link.h"
#include "kernel/namespace.h"
#include "kernel/tap.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In scan_walk.nsids. */
enum { NOT_SEEN = -2 };

struct scan_walk {
	const struct config *config;
	struct scan *scan;
	int *nsids; /* by slot: the namespace that its veth leads to; -1: not known; NOT_SEEN: no veth of ours */
	bool failed;
};

static void slot_scan_add_foreign(struct scan_walk *walk, unsigned slot, const char *what)
{
	struct scan *scan = walk->scan;
	struct scan_foreign *foreign;

	for (size_t i = 0; i < scan->foreign.count; i++) {
		if (scan->foreign.items[i].slot == slot)
			return;
	}
	foreign = vec_push(&scan->foreign);
	if (!foreign) {
		walk->failed = true;
		return;
	}
	foreign->slot = slot;
	snprintf(foreign->why, sizeof(foreign->why), "%s is not ours", what);
}

/* Whose name the link has, by any layout; that of its group, if there is one. 0: it has no name of ours. */
static unsigned slot_scan_name(const struct config *config, const struct kern_link *link,
			       const struct config_layout **found, bool *ours)
{
	const struct config_layout *layout;
	unsigned slot = 0, here;

	*ours = false;
	for (size_t at = 0; !*ours && (layout = config_layout_next(config, &at));) {
		here = config_veth_slot(layout, link->name);
		if (!here)
			continue;
		slot = here;
		*found = layout;
		*ours = link->group == layout->link_group && strcmp(link->kind, "veth") == 0;
	}
	return slot;
}

static void slot_scan_take_link(void *context, const struct kern_link *link)
{
	struct scan_walk *walk = context;
	const struct config_layout *layout = NULL;
	bool ours;
	unsigned slot = slot_scan_name(walk->config, link, &layout, &ours);
	struct fabric_found *found;
	const char *id;

	/* New slots get the configuration's names, so only these are in anybody's way. */
	if (!slot || (!ours && !config_veth_slot(&walk->config->layout, link->name)))
		return;
	/* A number is one for all layouts: of two links, the second is in the way of the first. */
	if (!ours || walk->nsids[slot] != NOT_SEEN) {
		char what[48];

		snprintf(what, sizeof(what), "link %s", link->name);
		slot_scan_add_foreign(walk, slot, what);
		return;
	}
	found = vec_push(&walk->scan->found);
	if (!found) {
		walk->failed = true;
		return;
	}
	walk->nsids[slot] = link->has_peer_nsid ? link->peer_nsid : -1;
	found->slot = slot;
	found->layout = layout;
	found->has_veth = true;
	id = strncmp(link->alias, KERN_LINK_ALIAS_PREFIX, strlen(KERN_LINK_ALIAS_PREFIX)) == 0
		 ? link->alias + strlen(KERN_LINK_ALIAS_PREFIX)
		 : "";
	snprintf(found->alias, sizeof(found->alias), "%.*s", SANDBOX_ID_MAX, id);
}

/* *LEADS: the namespace bound at PATH is the one that NSID stands for; then *NUMBER is filled in. 0, or -1: not known. */
static int slot_scan_leads_to(struct kern_rtnl *host, const char *path, int nsid, struct scan_number *number,
			      bool *leads, struct err *err)
{
	AUTO_FD int fd = kern_namespace_open(path, err);
	int found;

	*leads = false;
	if (fd < 0)
		return err->code == ENOENT || err->code == EINVAL || err->code == ELOOP || err->code == ENXIO ? 0 : -1;
	if (nsid < 0)
		return 0;
	if (kern_namespace_id(host, fd, &found, err) < 0)
		return -1;
	*leads = found == nsid;
	number->nsid = nsid;
	return *leads ? kern_namespace_key_read(fd, &number->key, err) : 0;
}

/* Where the namespace of FOUND is bound. Layouts may differ in that alone; FOUND's stays where it is bound by none of them. */
static int slot_scan_find_name(struct kern_rtnl *host, struct scan_walk *walk, struct fabric_found *found,
			       struct err *err)
{
	const struct config_layout *layout, *first = found->layout;
	char veth[CONFIG_LINK_SIZE], path[CONFIG_PATH_SIZE];

	config_veth_name(first, found->slot, veth);
	for (size_t at = 0; !found->has_netns && (layout = config_layout_next(walk->config, &at));) {
		if (layout->link_group != first->link_group || config_veth_slot(layout, veth) != found->slot)
			continue;
		config_netns_path(layout, found->slot, path);
		if (slot_scan_leads_to(host, path, walk->nsids[found->slot], &walk->scan->numbers[found->slot],
				       &found->has_netns, err) < 0)
			return -1;
		if (found->has_netns)
			found->layout = layout;
	}
	return 0;
}

static int slot_scan_look_inside(struct kern_rtnl *host, struct scan_walk *walk, struct fabric_found *found,
				 struct err *err)
{
	struct kern_link tap;
	int nsid = walk->nsids[found->slot];

	if (slot_scan_find_name(host, walk, found, err) < 0)
		return -1;
	if (nsid < 0)
		return 0;
	kern_namespace_id_seen(nsid);
	if (kern_link_get(host, nsid, TAP_NAME, &tap, err) < 0)
		return err->code == ENODEV || err->code == EINVAL ? 0 : -1;
	found->has_tap = tap.tap;
	found->carrier = tap.carrier;
	return 0;
}

static int slot_scan_take_name(struct scan_walk *walk, const struct config_layout *layout, const bool *ours,
			       const char *name, struct err *err)
{
	char path[CONFIG_PATH_SIZE];
	unsigned slot = config_netns_slot(layout, name);
	enum kern_namespace_file kind;

	if (!slot || ours[slot])
		return 0;
	config_netns_path(layout, slot, path);
	if (kern_namespace_file_kind(path, &kind, err) < 0)
		return -1;
	switch (kind) {
	case NAMESPACE_FILE_NONE:
		break;
	case NAMESPACE_FILE_HALF_MADE:
		log_info("half-made namespace name removed", F_STR("path", path));
		if (kern_namespace_unbind(path, err) < 0)
			log_error("half-made namespace name not removed", F_STR("error", err->text));
		break;
	case NAMESPACE_FILE_NAMESPACE:
	case NAMESPACE_FILE_OTHER:
		slot_scan_add_foreign(walk, slot, path);
		break;
	}
	return 0;
}

static bool slot_scan_same_names(const struct config_layout *a, const struct config_layout *b)
{
	return strcmp(a->netns_dir, b->netns_dir) == 0 && strcmp(a->netns_prefix, b->netns_prefix) == 0;
}

static int slot_scan_directory(struct scan_walk *walk, const struct config_layout *layout, struct err *err)
{
	AUTO_FREE bool *ours = calloc(CONFIG_SLOT_MAX + 1, sizeof(*ours));
	struct dirent *entry;
	DIR *directory;
	int result = 0;

	if (!ours)
		return err_set(err, ENOMEM, "scan");
	for (size_t i = 0; i < walk->scan->found.count; i++) {
		const struct fabric_found *found = &walk->scan->found.items[i];

		ours[found->slot] = found->has_netns && slot_scan_same_names(found->layout, layout);
	}
	directory = SPARES_TRY_STREAM(opendir(layout->netns_dir));
	if (!directory)
		return errno == ENOENT ? 0 : err_set(err, errno, "%s", layout->netns_dir);
	while (result == 0 && (entry = readdir(directory)))
		result = slot_scan_take_name(walk, layout, ours, entry->d_name, err);
	closedir(directory);
	return result;
}

static int slot_scan_compare_found(const void *a, const void *b)
{
	const struct fabric_found *left = a, *right = b;

	return (left->slot > right->slot) - (left->slot < right->slot);
}

/* A dump that was interrupted by a change is taken again. */
static int slot_scan_links(struct kern_rtnl *host, struct scan_walk *walk, struct err *err)
{
	enum { TRIES = 10 };
	int result = -1;

	for (int i = 0; i < TRIES && result < 0; i++) {
		for (unsigned slot = 0; slot <= CONFIG_SLOT_MAX; slot++)
			walk->nsids[slot] = NOT_SEEN;
		walk->scan->found.count = 0;
		walk->scan->foreign.count = 0;
		result = kern_link_dump(host, slot_scan_take_link, walk, err);
		if (result < 0 && err->code != EINTR)
			break;
	}
	return result;
}

int slot_scan_host(struct kern_rtnl *host, const struct config *config, struct scan *scan, struct err *err)
{
	AUTO_FREE int *nsids = calloc(CONFIG_SLOT_MAX + 1, sizeof(*nsids));
	struct scan_walk walk = { .config = config, .scan = scan, .nsids = nsids };

	scan->numbers = calloc(CONFIG_SLOT_MAX + 1, sizeof(*scan->numbers));
	if (!nsids || !scan->numbers)
		return err_set(err, ENOMEM, "scan");
	if (slot_scan_links(host, &walk, err) < 0)
		return -1;
	for (size_t i = 0; i < scan->found.count; i++) {
		if (slot_scan_look_inside(host, &walk, &scan->found.items[i], err) < 0)
			return err_wrap(err, "slot %u", scan->found.items[i].slot);
	}
	if (scan->found.count)
		qsort(scan->found.items, scan->found.count, sizeof(*scan->found.items), slot_scan_compare_found);
	/* Another's names are in the way of new slots alone, which get the configuration's. */
	if (slot_scan_directory(&walk, &config->layout, err) < 0)
		return -1;
	return walk.failed ? err_set(err, ENOMEM, "scan") : 0;
}

void slot_scan_clear(struct scan *scan)
{
	vec_free(&scan->found);
	vec_free(&scan->foreign);
	free(scan->numbers);
	*scan = (struct scan){ 0 };
}

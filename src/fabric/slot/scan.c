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
#include "config/config.h"
#include "kernel/link.h"
#include "kernel/namespace.h"
#include "kernel/tap.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct scan_walk {
	const struct config *config;
	struct scan *scan;
	int *nsids; /* by slot: the namespace that its veth leads to; -1: no veth of ours */
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

static void slot_scan_take_link(void *context, const struct kern_link *link)
{
	struct scan_walk *walk = context;
	unsigned slot = config_veth_slot(&walk->config->layout, link->name);
	struct fabric_found *found;
	const char *id;

	if (!slot)
		return;
	if (link->group != walk->config->layout.link_group || strcmp(link->kind, "veth") != 0) {
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
	found->layout = &walk->config->layout;
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

static int slot_scan_look_inside(struct kern_rtnl *host, struct scan_walk *walk, struct fabric_found *found,
				 struct err *err)
{
	char path[CONFIG_PATH_SIZE];
	struct kern_link tap;
	int nsid = walk->nsids[found->slot];

	config_netns_path(found->layout, found->slot, path);
	if (slot_scan_leads_to(host, path, nsid, &walk->scan->numbers[found->slot], &found->has_netns, err) < 0)
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

static int slot_scan_take_name(struct scan_walk *walk, const bool *ours, const char *name, struct err *err)
{
	char path[CONFIG_PATH_SIZE];
	unsigned slot = config_netns_slot(&walk->config->layout, name);
	enum kern_namespace_file kind;

	if (!slot || ours[slot])
		return 0;
	config_netns_path(&walk->config->layout, slot, path);
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

static int slot_scan_directory(struct scan_walk *walk, struct err *err)
{
	AUTO_FREE bool *ours = calloc(CONFIG_SLOT_MAX + 1, sizeof(*ours));
	struct dirent *entry;
	DIR *directory;
	int result = 0;

	if (!ours)
		return err_set(err, ENOMEM, "scan");
	for (size_t i = 0; i < walk->scan->found.count; i++)
		ours[walk->scan->found.items[i].slot] = walk->scan->found.items[i].has_netns;
	directory = SPARES_TRY_STREAM(opendir(walk->config->layout.netns_dir));
	if (!directory)
		return errno == ENOENT ? 0 : err_set(err, errno, "%s", walk->config->layout.netns_dir);
	while (result == 0 && (entry = readdir(directory)))
		result = slot_scan_take_name(walk, ours, entry->d_name, err);
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
	if (slot_scan_directory(&walk, err) < 0)
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

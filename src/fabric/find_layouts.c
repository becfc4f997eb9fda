/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Layouts from the kernel alone, for a host whose marks were lost or never written, as by a weftd that wrote none. A veth is ours if
 * its alias has the id of a sandbox, or its MAC the slot's number, and the namespace behind it has our table. Name, group, addresses and routes of one slot give
 * the layout: slot N has the address of the range plus N. The length of a range is that of its route.
 */
#include "base/cleanup.h"
#include "base/err.h"
#include "base/log.h"
#include "base/vec.h"
#include "config/layouts.h"
#include "fabric/fabric.h"
#include "kernel/address.h"
#include "kernel/holders.h"
#include "kernel/kern_route.h"
#include "kernel/link.h"
#include "kernel/namespace.h"
#include "kernel/neighbour.h"
#include "kernel/tap.h"
#include "nft/batch.h"
#include "nft/read.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct link_list {
	VEC_OF(struct kern_link);
	bool no_memory;
};

/* ---- The veths ---- */

/* The number at the end of NAME, as we write it; 0: none. *PREFIX is its length without that. */
static unsigned fabric_number_in(const char *name, size_t *prefix)
{
	size_t length = strlen(name);

	*prefix = length;
	while (*prefix && name[*prefix - 1] >= '0' && name[*prefix - 1] <= '9')
		(*prefix)--;
	while (*prefix < length && name[*prefix] == '0')
		(*prefix)++;
	unsigned long number = strtoul(name + *prefix, NULL, 10);
	return *prefix && length - *prefix <= 5 && number <= CONFIG_SLOT_MAX ? (unsigned)number : 0;
}

/* It has the id of a sandbox, or, as those of the pool, which no sandbox has, the MAC that belongs to the number in its name. */
static bool fabric_may_be_ours(const struct kern_link *link)
{
	size_t prefix;
	unsigned slot = fabric_number_in(link->name, &prefix);
	struct mac mac = config_veth_host_mac(slot);

	return strncmp(link->alias, KERN_LINK_ALIAS_PREFIX, strlen(KERN_LINK_ALIAS_PREFIX)) == 0 ||
	       (slot && addr_mac_equal(&link->mac, &mac));
}

static void fabric_keep_veth(void *context, const struct kern_link *link)
{
	struct link_list *list = context;
	struct kern_link *kept;

	if (strcmp(link->kind, "veth") != 0 || !link->group || !link->has_peer_nsid || !fabric_may_be_ours(link))
		return;
	kept = vec_push(list);
	if (kept)
		*kept = *link;
	else
		list->no_memory = true;
}

/* ---- The name of a namespace ---- */

/* The namespace bound at PATH is the one that NSID stands for. Its descriptor; -1: it is not. */
static int fabric_open_if_is(struct kern_rtnl *host, const char *path, int nsid)
{
	struct err ignored;
	AUTO_FD int fd = kern_namespace_open(path, &ignored);
	int found;

	if (fd < 0 || kern_namespace_known_id(host, fd, &found, &ignored) < 0 || found != nsid)
		return -1;
	return steal_fd(&fd);
}

/* Whether LINK has name and group of a layout that is known. *BOUND: and its namespace has the name of one. */
static bool fabric_link_is_known(struct kern_rtnl *host, const struct config *config, const struct kern_link *link,
				 bool *bound)
{
	const struct config_layout *layout;
	char path[CONFIG_PATH_SIZE];
	bool known = false;

	*bound = false;
	for (size_t at = 0; !*bound && (layout = config_layout_next(config, &at));) {
		unsigned slot = link->group == layout->link_group ? config_veth_slot(layout, link->name) : 0;

		if (!slot)
			continue;
		AUTO_FD int fd = fabric_open_if_is(host, config_netns_path(layout, slot, path), link->peer_nsid);
		*bound = fd >= 0;
		known = true;
	}
	return known;
}

/* Where the namespace of NSID is bound, into PATH. Its descriptor; -1: nowhere. */
static int fabric_find_name(struct kern_rtnl *host, int nsid, char path[static CONFIG_PATH_SIZE])
{
	FILE *mounts = fopen("/proc/thread-self/mountinfo", "re");
	AUTO_FREE char *line = NULL;
	size_t size = 0;
	int fd = -1;

	while (mounts && fd < 0 && getline(&line, &size, mounts) > 0) {
		if (strstr(line, " - nsfs ") && sscanf(line, "%*s %*s %*s %*s %500s", path) == 1)
			fd = fabric_open_if_is(host, path, nsid);
	}
	if (mounts)
		fclose(mounts);
	return fd;
}

/* ---- Addresses ---- */

struct layout_reading {
	struct config_layout *layout;
	unsigned slot;
	int index; /* of its veth */
	bool host_end;
};

static void fabric_take_layout_address(void *context, const struct kern_address *address)
{
	struct layout_reading *reading = context;

	if (reading->host_end)
		reading->layout->veth_cidr.ip = address->cidr.ip - 2 * reading->slot;
	else
		reading->layout->tap = address->cidr;
}

static void fabric_take_layout_route(void *context, const struct kern_route_entry *entry)
{
	struct layout_reading *reading = context;

	if (entry->protocol == KERN_ROUTE_PROTOCOL && entry->to.length == 32 && entry->index == reading->index)
		reading->layout->host_cidr.ip = entry->to.ip - reading->slot;
}

static void fabric_take_layout_neighbour(void *context, uint32_t ip, const struct mac *mac)
{
	struct config_layout *layout = ((struct layout_reading *)context)->layout;

	layout->guest = (struct cidr4){ ip, layout->tap.length };
	layout->guest_mac = *mac;
	layout->guest_mac_learn = false;
}

static int fabric_read_host_side(struct kern_rtnl *host, struct layout_reading *reading, struct err *err)
{
	reading->host_end = true;
	if (kern_address_dump(host, reading->index, fabric_take_layout_address, reading, err) < 0)
		return -1;
	return kern_route_dump(host, fabric_take_layout_route, reading, err);
}

/* Until a permanent neighbour shows the guest, it chooses its MAC itself, and has the other address of the TAP's network. */
static void fabric_expect_learning(struct config_layout *layout)
{
	layout->guest_mac_learn = true;
	if (layout->tap.length == 30)
		layout->guest = (struct cidr4){ layout->tap.ip ^ 3, 30 };
	else if (layout->tap.length == 31)
		layout->guest = (struct cidr4){ layout->tap.ip ^ 1, 31 };
}

static int fabric_read_guest_side(int netns_fd, struct layout_reading *reading, struct err *err)
{
	struct kern_rtnl inside;
	struct kern_link tap;
	int result;

	if (kern_rtnl_open(&inside, netns_fd, NETLINK_ROUTE, err) < 0)
		return -1;
	result = kern_link_get(&inside, KERN_LINK_HERE, TAP_NAME, &tap, err);
	reading->host_end = false;
	if (result == 0) {
		reading->layout->tap_mac = tap.mac;
		result = kern_address_dump(&inside, tap.index, fabric_take_layout_address, reading, err);
	}
	if (result == 0)
		fabric_expect_learning(reading->layout);
	if (result == 0)
		result = kern_neighbour_dump(&inside, tap.index, fabric_take_layout_neighbour, reading, err);
	kern_rtnl_close(&inside);
	return result;
}

/* ---- One layout ---- */

/* The route of a whole range tells its length. */
static void fabric_take_length(void *context, const struct kern_route_entry *entry)
{
	struct config_layout *layout = context;

	if (!kern_route_is_our_unreachable(entry))
		return;
	if (entry->to.ip == layout->host_cidr.ip)
		layout->host_cidr.length = entry->to.length;
	if (entry->to.ip == layout->veth_cidr.ip)
		layout->veth_cidr.length = entry->to.length;
}

/* *CIDR has its first address. Without a length it gets WANTED, or more until that address is the first. */
static void fabric_fit_length(struct cidr4 *cidr, uint8_t wanted, uint8_t longest)
{
	if (cidr->length)
		return;
	cidr->length = wanted;
	while (cidr->length < longest && addr_cidr4_first(cidr) != cidr->ip)
		cidr->length++;
}

static bool fabric_has_our_table(int netns_fd)
{
	struct err ignored;
	AUTO_FD int fd = nft_socket(netns_fd, &ignored);

	return fd >= 0 && nft_read_has_table(fd, NFPROTO_INET, &ignored);
}

/* Splits PATH, where the namespace of SLOT is bound, into directory and prefix. False: it is no such name. */
static bool fabric_split_name(char *path, unsigned slot, struct config_layout *layout)
{
	char *name = strrchr(path, '/');
	size_t prefix;

	if (!name || name == path || fabric_number_in(name + 1, &prefix) != slot)
		return false;
	*name = '\0';
	name[1 + prefix] = '\0';
	layout->netns_dir = path;
	layout->netns_prefix = name + 1;
	return true;
}

/* KNOWN: by its name and group, so that only another name of its namespace makes a layout. */
static int fabric_add_layout_of(struct kern_rtnl *host, const struct config *config, const struct kern_link *veth,
				bool known, struct err *err)
{
	char path[CONFIG_PATH_SIZE] = "", veth_prefix[CONFIG_LINK_SIZE];
	struct config_layout layout = config->layout;
	size_t prefix;
	struct layout_reading reading = { .layout = &layout, .slot = fabric_number_in(veth->name, &prefix) };

	if (!reading.slot)
		return 0;
	reading.index = veth->index;
	layout.link_group = veth->group;
	snprintf(veth_prefix, sizeof(veth_prefix), "%.*s", (int)prefix, veth->name);
	layout.veth_prefix = veth_prefix;
	AUTO_FD int fd = fabric_find_name(host, veth->peer_nsid, path);
	if (fd >= 0)
		fabric_split_name(path, reading.slot, &layout);
	else if (!known)
		fd = kern_holders_find_namespace(host, veth->peer_nsid, TAP_NAME);
	if (fd < 0 || !fabric_has_our_table(fd))
		return 0;
	if (fabric_read_host_side(host, &reading, err) < 0 || fabric_read_guest_side(fd, &reading, err) < 0)
		return err->code == ENOMEM || err->code == EINTR ? -1 : 0;
	layout.host_cidr.length = layout.veth_cidr.length = 0;
	if (kern_route_dump(host, fabric_take_length, &layout, err) < 0)
		return -1;
	fabric_fit_length(&layout.host_cidr, config->layout.host_cidr.length, 30);
	fabric_fit_length(&layout.veth_cidr, config->layout.veth_cidr.length, 29);
	if (!config_layout_is_valid(&layout))
		return 0;
	log_debug("layout of slots found in the kernel", F_STR("link", veth->name), F_UINT("group", veth->group));
	return config_layout_add(config, &layout) ? 0 : err_set(err, ENOMEM, "layouts of slots");
}

static int fabric_find_layouts_once(struct kern_rtnl *host, const struct config *config, struct err *err)
{
	struct link_list links = { 0 };
	int result = kern_link_dump(host, fabric_keep_veth, &links, err);

	if (result == 0 && links.no_memory)
		result = err_set(err, ENOMEM, "layouts of slots");
	/* Links that a layout found meanwhile explains are not looked at. */
	for (size_t i = 0; result == 0 && i < links.count; i++) {
		bool bound, known = fabric_link_is_known(host, config, &links.items[i], &bound);

		if (!bound)
			result = fabric_add_layout_of(host, config, &links.items[i], known, err);
	}
	vec_free(&links);
	return result;
}

int fabric_find_layouts(const struct config *config, struct err *err)
{
	enum { TRIES = 10 };
	struct kern_rtnl host;
	int result = -1;

	if (kern_rtnl_open(&host, -1, NETLINK_ROUTE, err) < 0)
		return -1;
	/* What has been found stays found. */
	for (int i = 0; i < TRIES && result < 0; i++) {
		result = fabric_find_layouts_once(&host, config, err);
		if (result < 0 && err->code != EINTR)
			break;
	}
	kern_rtnl_close(&host);
	return result;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CONFIG_LAYOUT_H
#define WEFT_CONFIG_LAYOUT_H

/*
 * The layout of slots: the names, addresses, group, MACs and MTU that a slot is made with. A live slot keeps its own for its life,
 * whatever becomes of the configuration, so all that names or addresses a slot asks the slot's layout.
 *
 * A layout is never changed once a slot has it, so any thread may read it. It lives as long as the configuration that knows it.
 */

#include "base/addr.h"

#include <stdbool.h>
#include <stdint.h>

struct config_layout {
	char *netns_dir;
	char *netns_prefix;
	char *veth_prefix;
	uint32_t link_group;
	struct cidr4 host_cidr;
	struct cidr4 veth_cidr;
	struct cidr4 guest; /* address with the prefix of its link */
	struct cidr4 tap;   /* likewise, the guest's gateway */
	struct mac guest_mac;
	bool guest_mac_learn; /* no permanent neighbour for the guest */
	struct mac tap_mac;
	unsigned mtu; /* bytes; 0: the uplink's */
};

/* The highest slot that the ranges and the names have room for; CONFIG_SLOT_MAX at most. */
unsigned config_slot_max(const struct config_layout *layout);

/* ---- Names and addresses of slot N (1 and up); host order. ---- */

enum { CONFIG_NAME_SIZE = 64, CONFIG_PATH_SIZE = 512, CONFIG_LINK_SIZE = 16 };

char *config_netns_name(const struct config_layout *layout, unsigned slot, char name[static CONFIG_NAME_SIZE]);
char *config_netns_path(const struct config_layout *layout, unsigned slot, char path[static CONFIG_PATH_SIZE]);
char *config_veth_name(const struct config_layout *layout, unsigned slot, char name[static CONFIG_LINK_SIZE]);
uint32_t config_host_ip(const struct config_layout *layout, unsigned slot);       /* 10.11.0.N */
uint32_t config_veth_host_ip(const struct config_layout *layout, unsigned slot);  /* 10.12.0.0 + 2N */
uint32_t config_veth_guest_ip(const struct config_layout *layout, unsigned slot); /* 10.12.0.0 + 2N + 1 */
struct mac config_veth_host_mac(unsigned slot);
struct mac config_veth_guest_mac(unsigned slot);

/* The slot whose namespace, or whose veth's host end, has NAME; 0 if it is no such name ("ns-07" is not). */
unsigned config_netns_slot(const struct config_layout *layout, const char *name);
unsigned config_veth_slot(const struct config_layout *layout, const char *name);

/* The same of a name with PREFIX, whatever the ranges have room for; CONFIG_SLOT_MAX at most. */
unsigned config_slot_in_name(const char *prefix, const char *name);

#endif

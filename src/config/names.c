/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names and addresses of slot N. All follow from the number and the slot's layout, so an object found in the kernel leads back to
 * its slot by its name. The reverse is exact: only a name that slot N would get from this layout leads to N.
 */
#include "config/config.h"
#include "config/layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct config_layout *config_layout_or_new(const struct config *config, const struct config_layout *layout)
{
	return layout ? layout : &config->layout;
}

unsigned config_slot_max(const struct config_layout *layout)
{
	/* Host addresses 1 and up, without the broadcast address; two veth addresses for each slot, of which none is slot 0's. */
	uint64_t hosts = (UINT64_C(1) << (32 - layout->host_cidr.length)) - 2;
	uint64_t veths = (UINT64_C(1) << (32 - layout->veth_cidr.length)) / 2 - 1;
	uint64_t most = hosts < veths ? hosts : veths;

	return most < CONFIG_SLOT_MAX ? (unsigned)most : CONFIG_SLOT_MAX;
}

char *config_netns_name(const struct config_layout *layout, unsigned slot, char name[static CONFIG_NAME_SIZE])
{
	snprintf(name, CONFIG_NAME_SIZE, "%s%u", layout->netns_prefix, slot);
	return name;
}

char *config_netns_path(const struct config_layout *layout, unsigned slot, char path[static CONFIG_PATH_SIZE])
{
	snprintf(path, CONFIG_PATH_SIZE, "%s/%s%u", layout->netns_dir, layout->netns_prefix, slot);
	return path;
}

char *config_veth_name(const struct config_layout *layout, unsigned slot, char name[static CONFIG_LINK_SIZE])
{
	snprintf(name, CONFIG_LINK_SIZE, "%s%u", layout->veth_prefix, slot);
	return name;
}

uint32_t config_host_ip(const struct config_layout *layout, unsigned slot)
{
	return layout->host_cidr.ip + slot;
}

uint32_t config_veth_host_ip(const struct config_layout *layout, unsigned slot)
{
	return layout->veth_cidr.ip + 2 * slot;
}

uint32_t config_veth_guest_ip(const struct config_layout *layout, unsigned slot)
{
	return layout->veth_cidr.ip + 2 * slot + 1;
}

static struct mac config_numbered_mac(uint8_t side, unsigned slot)
{
	return (struct mac){ { 0x02, 0xFC, side, 0x00, (uint8_t)(slot >> 8), (uint8_t)slot } };
}

struct mac config_veth_host_mac(unsigned slot)
{
	return config_numbered_mac(0x01, slot);
}

struct mac config_veth_guest_mac(unsigned slot)
{
	return config_numbered_mac(0x02, slot);
}

unsigned config_slot_in_name(const char *prefix, const char *name)
{
	size_t length = strlen(prefix);

	if (strncmp(name, prefix, length) != 0)
		return 0;

	const char *digits = name + length;
	size_t count = strspn(digits, "0123456789");
	if (count == 0 || count > 5 || digits[count] || *digits == '0')
		return 0;

	unsigned long slot = strtoul(digits, NULL, 10);
	return slot <= CONFIG_SLOT_MAX ? (unsigned)slot : 0;
}

static unsigned config_slot_with_room(const struct config_layout *layout, unsigned slot)
{
	return slot <= config_slot_max(layout) ? slot : 0;
}

unsigned config_netns_slot(const struct config_layout *layout, const char *name)
{
	return config_slot_with_room(layout, config_slot_in_name(layout->netns_prefix, name));
}

unsigned config_veth_slot(const struct config_layout *layout, const char *name)
{
	return config_slot_with_room(layout, config_slot_in_name(layout->veth_prefix, name));
}

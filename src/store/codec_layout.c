/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The words are those of weftd.conf(5): "host_cidr": "10.11.0.0/16", "guest_mac": "learn". An MTU of 0 stands for the uplink's.
 */
#include "store/codec_layout.h"

#include "config/layouts.h"

#include <stdlib.h>
#include <string.h>

static const char learn[] = "learn";

json_t *store_encode_layout(const struct config_layout *layout)
{
	char host[CIDR4_TEXT_SIZE], veth[CIDR4_TEXT_SIZE], guest[CIDR4_TEXT_SIZE], tap[CIDR4_TEXT_SIZE];
	char guest_mac[MAC_TEXT_SIZE], tap_mac[MAC_TEXT_SIZE];

	addr_mac_format(&layout->guest_mac, guest_mac);
	addr_mac_format(&layout->tap_mac, tap_mac);
	return json_pack("{s:s, s:s, s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:i}", "netns_dir", layout->netns_dir,
			 "netns_prefix", layout->netns_prefix, "veth_prefix", layout->veth_prefix, "link_group",
			 (json_int_t)layout->link_group, "host_cidr", addr_cidr4_format(&layout->host_cidr, host),
			 "veth_cidr", addr_cidr4_format(&layout->veth_cidr, veth), "guest",
			 addr_cidr4_format(&layout->guest, guest), "tap", addr_cidr4_format(&layout->tap, tap),
			 "guest_mac", layout->guest_mac_learn ? learn : guest_mac, "tap_mac", tap_mac, "mtu",
			 (int)layout->mtu);
}

struct layout_json {
	const json_t *object;
	const char *wrong;
	bool no_memory;
};

static const char *store_layout_text(struct layout_json *reading, const char *name)
{
	const char *text = json_string_value(json_object_get(reading->object, name));

	if (!text)
		reading->wrong = name;
	return text;
}

static void store_layout_string(struct layout_json *reading, const char *name, char **string)
{
	const char *text = store_layout_text(reading, name);

	*string = strdup(text ? text : "");
	reading->no_memory |= !*string;
}

static void store_layout_cidr(struct layout_json *reading, const char *name, struct cidr4 *cidr)
{
	const char *text = store_layout_text(reading, name);

	if (text && addr_cidr4_parse(text, cidr) < 0)
		reading->wrong = name;
}

static void store_layout_mac(struct layout_json *reading, const char *name, struct mac *mac, bool *learnt)
{
	const char *text = store_layout_text(reading, name);

	if (text && learnt && strcmp(text, learn) == 0)
		*learnt = true;
	else if (text && addr_mac_parse(text, mac) < 0)
		reading->wrong = name;
}

static uint32_t store_layout_number(struct layout_json *reading, const char *name)
{
	const json_t *value = json_object_get(reading->object, name);
	json_int_t number = json_integer_value(value);

	if (json_is_integer(value) && number >= 0 && number <= INT32_MAX)
		return (uint32_t)number;
	reading->wrong = name;
	return 0;
}

int store_decode_layout(const json_t *object, struct config_layout *layout, const char **wrong)
{
	struct layout_json reading = { .object = object };

	*layout = (struct config_layout){ 0 };
	store_layout_string(&reading, "netns_dir", &layout->netns_dir);
	store_layout_string(&reading, "netns_prefix", &layout->netns_prefix);
	store_layout_string(&reading, "veth_prefix", &layout->veth_prefix);
	layout->link_group = store_layout_number(&reading, "link_group");
	store_layout_cidr(&reading, "host_cidr", &layout->host_cidr);
	store_layout_cidr(&reading, "veth_cidr", &layout->veth_cidr);
	store_layout_cidr(&reading, "guest", &layout->guest);
	store_layout_cidr(&reading, "tap", &layout->tap);
	store_layout_mac(&reading, "guest_mac", &layout->guest_mac, &layout->guest_mac_learn);
	store_layout_mac(&reading, "tap_mac", &layout->tap_mac, NULL);
	layout->mtu = store_layout_number(&reading, "mtu");
	*wrong = NULL;
	if (reading.no_memory)
		return -1;
	*wrong = reading.wrong                    ? reading.wrong
		 : config_layout_is_valid(layout) ? NULL
						  : "a value that no configuration has";
	return *wrong ? -1 : 0;
}

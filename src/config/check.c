/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checks values against each other. Checks that need the host are made elsewhere.
 */
#include "config/catalog_place.h"
#include "config/layouts.h"
#include "config/loading.h"

#include <ctype.h>
#include <netinet/in.h>
#include <string.h>

enum { PRIVILEGED_END = 1024, CATALOG_TTL_MIN_MS = 1000 };

/* Adds a mistake to the option's line. */
#define config_blame(section, key, ...) config_mistake_add(mistakes, config, section, key, __VA_ARGS__)

#define config_blame_item(section, key, index, value, ...)                                                             \
	config_mistake_add_item(mistakes, config, section, key, index, value, __VA_ARGS__)

static bool config_is_plain_name(const char *name)
{
	static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

	return strchr(first, *name) && strspn(name + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
							"0123456789_.-") == strlen(name + 1);
}

static bool config_is_plain_path(const char *path)
{
	return *path == '/' && path[1] && !strstr(path, "//") && !strstr(path, "/./") && !strstr(path, "/../") &&
	       path[strlen(path) - 1] != '/';
}

static void config_check_names(const struct config *config, struct config_mistakes *mistakes)
{
	const char *dir = config->layout.netns_dir;
	char longest[48];

	if (!config_is_plain_path(dir))
		config_blame("names", "netns_dir", "not a plain absolute path; allowed: such as /run/netns");
	if (!config_is_plain_name(config->layout.netns_prefix))
		config_blame("names", "netns_prefix",
			     "allowed: letters, digits and '_', and behind the first '.' and '-'");
	if (!config_is_plain_name(config->layout.veth_prefix))
		config_blame("names", "veth_prefix",
			     "allowed: letters, digits and '_', and behind the first '.' and '-'");

	snprintf(longest, sizeof(longest), "%s%u", config->layout.veth_prefix, config_slot_max(&config->layout));
	if (strlen(longest) >= CONFIG_LINK_SIZE)
		config_blame("names", "veth_prefix", "with the highest slot, `%s', it has %zu characters; allowed: 15",
			     longest, strlen(longest));
}

static bool config_is_usable_range(const struct cidr4 *cidr)
{
	static const struct cidr4 special[] = { { 0, 8 }, { 0x7f000000, 8 }, { 0xe0000000, 3 } };

	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++)
		if (addr_cidr4_overlaps(cidr, &special[i]))
			return false;
	return true;
}

static bool config_is_range(const struct cidr4 *cidr, uint8_t longest)
{
	return cidr->length >= 8 && cidr->length <= longest && cidr->ip == addr_cidr4_first(cidr) &&
	       config_is_usable_range(cidr);
}

bool config_layout_is_valid(const struct config_layout *layout)
{
	char longest[CONFIG_LINK_SIZE + 16];

	if (strlen(layout->netns_dir) > 160 || strlen(layout->netns_prefix) > 40 ||
	    strlen(layout->veth_prefix) >= CONFIG_LINK_SIZE || !config_is_plain_path(layout->netns_dir) ||
	    !config_is_plain_name(layout->netns_prefix) || !config_is_plain_name(layout->veth_prefix))
		return false;
	if (!layout->link_group || layout->link_group > INT32_MAX || !config_is_range(&layout->host_cidr, 30) ||
	    !config_is_range(&layout->veth_cidr, 29) || (layout->mtu && (layout->mtu < 576 || layout->mtu > 65535)))
		return false;
	snprintf(longest, sizeof(longest), "%s%u", layout->veth_prefix, config_slot_max(layout));
	return strlen(longest) < CONFIG_LINK_SIZE && layout->guest.length >= 8 && layout->guest.length <= 30 &&
	       layout->tap.length >= 8 && layout->tap.length <= 30 && layout->guest.ip != layout->tap.ip;
}

struct config_range {
	const char *key;
	const struct cidr4 *cidr;
};

static void config_check_ranges(const struct config *config, struct config_mistakes *mistakes)
{
	const struct config_range ranges[] = {
		{ "host_cidr", &config->layout.host_cidr },
		{ "veth_cidr", &config->layout.veth_cidr },
		{ "guest", &config->layout.guest },
	};
	char text[CIDR4_TEXT_SIZE];

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		if (!config_is_usable_range(ranges[i].cidr))
			config_blame("addresses", ranges[i].key,
				     "allowed: outside 0.0.0.0/8, 127.0.0.0/8 and what lies beyond 223.255.255.255");
		for (size_t j = 0; j < i; j++)
			if (addr_cidr4_overlaps(ranges[i].cidr, ranges[j].cidr))
				config_blame("addresses", ranges[i].key, "overlaps %s %s; allowed: ranges apart",
					     ranges[j].key, addr_cidr4_format(ranges[j].cidr, text));
	}
}

static bool config_is_host_of(const struct cidr4 *cidr)
{
	return cidr->ip != addr_cidr4_first(cidr) && cidr->ip != addr_cidr4_last(cidr);
}

static void config_check_guest_link(const struct config *config, struct config_mistakes *mistakes)
{
	const struct cidr4 *guest = &config->layout.guest, *tap = &config->layout.tap;
	char text[CIDR4_TEXT_SIZE];

	if (!config_is_host_of(guest))
		config_blame("addresses", "guest", "the network's or its broadcast address; allowed: one between");
	if (!config_is_host_of(tap))
		config_blame("addresses", "tap", "the network's or its broadcast address; allowed: one between");
	if (guest->length != tap->length || addr_cidr4_first(guest) != addr_cidr4_first(tap))
		config_blame("addresses", "tap", "not on the guest's link; allowed: an address of the network of %s",
			     addr_cidr4_format(guest, text));
	else if (guest->ip == tap->ip)
		config_blame("addresses", "tap", "the guest's address; allowed: another one of the same network");
	if (!config->layout.guest_mac_learn && addr_mac_equal(&config->layout.guest_mac, &config->layout.tap_mac))
		config_blame("addresses", "tap_mac", "the guest's MAC; allowed: another one");
}

static void config_check_listen(const struct config *config, const char *section, const char *key,
				const struct addr_list *list, struct config_mistakes *mistakes)
{
	char text[ADDR_TEXT_SIZE];

	for (size_t i = 0; i < list->count; i++) {
		uint16_t port = addr_port(&list->items[i]);

		if (!addr_can_be_asked(&list->items[i]))
			config_blame_item(section, key, i, addr_format(&list->items[i], text),
					  "no client can ask there; allowed: no network, broadcast, multicast or "
					  "reserved address, and no IPv4 written as IPv6");
		if (port >= config->ports.first && port <= config->ports.last)
			config_blame_item(section, key, i, addr_format(&list->items[i], text),
					  "lies in [ports] range; allowed: a port outside %u-%u", config->ports.first,
					  config->ports.last);
	}
}

static void config_check_ports(const struct config *config, struct config_mistakes *mistakes)
{
	char text[ADDR_TEXT_SIZE];

	if (config->ports.first < PRIVILEGED_END && !config->ports.allow_privileged)
		config_blame("ports", "range", "has privileged ports; allowed: 1024 and up, or allow_privileged = yes");
	config_check_listen(config, "forwarder", "default_listen", &config->forwarder.default_listen, mistakes);
	config_check_listen(config, "http", "listen", &config->http.listen, mistakes);
	for (size_t i = 0; i < config->http.listen.count; i++)
		for (size_t j = 0; j < config->forwarder.default_listen.count; j++)
			if (addr_equal(&config->http.listen.items[i], &config->forwarder.default_listen.items[j]))
				config_blame_item("http", "listen", i, addr_format(&config->http.listen.items[i], text),
						  "also in [forwarder] default_listen; allowed: another one");
}

static bool config_is_on_guest_link(const struct config *config, const struct addr *asked)
{
	const struct cidr4 one = { ntohl(asked->in.sin_addr.s_addr), 32 };

	return addr_cidr4_overlaps(&config->layout.guest, &one);
}

/* What guests are to ask. A guest's own loopback may have a resolver of its own, but no service of the host. */
static void config_check_asked(const struct config *config, struct config_mistakes *mistakes)
{
	const struct config_service_list *services = &config->egress.allow_host;
	const struct cidr4_list *dns = &config->addresses.dns;
	char text[ADDR_TEXT_SIZE], whole[CONFIG_SERVICE_TEXT_SIZE];

	for (size_t i = 0; i < services->count; i++) {
		const struct config_service *service = &services->items[i];
		const struct addr *asked = &service->address, *target = &service->target;

		if (!addr_can_be_asked(asked) || addr_is_wildcard(asked) || addr_is_loopback(asked))
			config_blame_item("egress", "allow_host", i, config_service_format(service, whole),
					  "no guest can ask there; allowed: no loopback, network, broadcast, multicast "
					  "or reserved address");
		if (config_is_on_guest_link(config, asked))
			config_blame_item("egress", "allow_host", i, config_service_format(service, whole),
					  "on the guest's own link, which no packet to it leaves; allowed: an address "
					  "outside the network of %s",
					  addr_cidr4_format(&config->layout.guest, text));
		if (service->kind == CONFIG_SERVICE_ADDRESS && (!addr_can_be_asked(target) || addr_is_wildcard(target)))
			config_blame_item("egress", "allow_host", i, config_service_format(service, whole),
					  "weftd cannot connect to %s; allowed: an address with a port, such as "
					  "127.0.0.1:8080",
					  addr_format(target, text));
	}
	for (size_t i = 0; i < dns->count; i++) {
		const struct addr server = addr_from_ipv4(dns->items[i].ip, 53);

		if (!addr_can_be_asked(&server) || addr_is_wildcard(&server))
			config_blame_item("addresses", "dns", i, addr_ipv4_format(dns->items[i].ip, text),
					  "no guest can ask there; allowed: no network, broadcast, multicast or "
					  "reserved address");
	}
}

/* An address of weftd's own with this port; NULL: there is none. */
static const struct addr *config_listens_at(const struct config *config, uint16_t port)
{
	const struct addr_list *const lists[] = { &config->forwarder.default_listen, &config->http.listen };

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		for (size_t j = 0; j < lists[i]->count; j++)
			if (addr_port(&lists[i]->items[j]) == port)
				return &lists[i]->items[j];
	return NULL;
}

/* A port of this host that guests' connections are led to must not be one that weft has, or gives away. */
static void config_check_led_to(const struct config *config, const char *key, size_t index, const char *value,
				uint16_t port, struct config_mistakes *mistakes)
{
	const struct addr *own = config_listens_at(config, port);
	char text[ADDR_TEXT_SIZE];

	if (port == config->egress.service_port && config_has_forwarded_service(config))
		config_blame_item("egress", key, index, value, "the port is service_port; allowed: another one");
	if (own)
		config_blame_item("egress", key, index, value,
				  "weftd listens there itself, on %s; allowed: another port", addr_format(own, text));
	if (port >= config->ports.first && port <= config->ports.last)
		config_blame_item("egress", key, index, value, "lies in [ports] range; allowed: a port outside %u-%u",
				  config->ports.first, config->ports.last);
}

static void config_check_services(const struct config *config, struct config_mistakes *mistakes)
{
	const struct config_service_list *services = &config->egress.allow_host;
	const struct config_redirect_list *redirects = &config->egress.redirect;
	char text[CONFIG_SERVICE_TEXT_SIZE];

	for (size_t i = 0; i < services->count; i++) {
		const struct config_service *service = &services->items[i];

		if (service->kind == CONFIG_SERVICE_PORT)
			config_check_led_to(config, "allow_host", i, config_service_format(service, text),
					    service->port, mistakes);
		if (service->kind == CONFIG_SERVICE_ADDRESS && addr_is_loopback(&service->target) &&
		    addr_port(&service->target) == config->egress.service_port)
			config_blame_item("egress", "allow_host", i, config_service_format(service, text),
					  "the target is service_port; allowed: another one");
	}
	for (size_t i = 0; i < redirects->count; i++)
		config_check_led_to(config, "redirect", i, config_redirect_format(&redirects->items[i], text),
				    redirects->items[i].to, mistakes);
}

static void config_check_service_port(const struct config *config, struct config_mistakes *mistakes)
{
	const uint16_t port = config->egress.service_port;
	const struct addr *own = config_listens_at(config, port);
	char text[ADDR_TEXT_SIZE];

	if (!config_has_forwarded_service(config))
		return;
	if (port >= config->ports.first && port <= config->ports.last)
		config_blame("egress", "service_port", "lies in [ports] range; allowed: a port outside %u-%u",
			     config->ports.first, config->ports.last);
	if (own)
		config_blame("egress", "service_port", "weftd listens there itself, on %s; allowed: another port",
			     addr_format(own, text));
}

static void config_check_uplink(const struct config *config, struct config_mistakes *mistakes)
{
	const char *uplink = config->addresses.uplink;

	if (uplink && (strchr(uplink, '/') || strcmp(uplink, ".") == 0 || strcmp(uplink, "..") == 0))
		config_blame("addresses", "uplink", "allowed: the name of a link");
	if (uplink && config_veth_slot(&config->layout, uplink))
		config_blame("addresses", "uplink", "the name of a sandbox's veth; allowed: another link");
}

static bool config_is_label(const char *label, size_t length)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";

	return length && length <= 63 && strspn(label, allowed) >= length && *label != '-' && label[length - 1] != '-';
}

/* A name as DNS has them. The last label is no number, or it would be an address (RFC 1123, 2.1). */
static bool config_is_host_name(const char *name)
{
	for (;;) {
		size_t length = strcspn(name, ".");

		if (!config_is_label(name, length))
			return false;
		if (!name[length])
			return strspn(name, "0123456789") < length;
		name += length + 1;
	}
}

static void config_check_cgroup(const struct config *config, struct config_mistakes *mistakes)
{
	if (config->forwarder.cgroup && !config_is_plain_path(config->forwarder.cgroup))
		config_blame("forwarder", "cgroup", "not a plain absolute path; allowed: such as /sys/fs/cgroup");
}

static void config_check_door(const struct config *config, struct config_mistakes *mistakes)
{
	if (config->door.socket && !config_is_plain_path(config->door.socket))
		config_blame("door", "socket", "not a plain absolute path; allowed: such as /run/weft/door.sock");
	if (config->door.domain && !config_is_host_name(config->door.domain))
		config_blame("door", "domain", "not a host name; allowed: such as box.example.com");
}

static void config_check_wake(const struct config *config, struct config_mistakes *mistakes)
{
	if (config->wake.notify && !config_is_plain_path(config->wake.notify))
		config_blame("wake", "notify", "not a plain absolute path; allowed: such as /run/manager/wake.sock");
}

/* They become part of a JSON text as they are. */
static bool config_is_catalog_word(const char *text, const char *also)
{
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) && !strchr(also, *text))
			return false;
	return true;
}

static void config_check_catalog(const struct config *config, struct config_mistakes *mistakes)
{
	struct config_catalog_place place;
	const char *redis = config->catalog.redis, *file = config->catalog.password_file;
	const char *fault = redis ? config_catalog_place_parse(redis, &place) : NULL;

#ifndef HAVE_HIREDIS
	if (redis)
		config_blame("catalog", "redis", "this weftd was built without hiredis; allowed: no value");
#endif
	if (fault)
		config_blame("catalog", "redis", "%s; allowed: HOST:PORT or unix:PATH", fault);
	if (redis && !config->catalog.address)
		config_blame("catalog", "address", "needed with redis; allowed: this host's address for edges");
	if (config->catalog.address && !config_is_catalog_word(config->catalog.address, ".:[]-"))
		config_blame("catalog", "address", "allowed: an address, or a name, without a port");
	if (config->catalog.host_id && !config_is_catalog_word(config->catalog.host_id, "_.:-"))
		config_blame("catalog", "host_id", "allowed: letters, digits, '_', '.', ':' and '-'");
	if (config->catalog.ttl_ms < CATALOG_TTL_MIN_MS)
		config_blame("catalog", "ttl", "shorter than a second; allowed: 1s to 24h");
	if (file && !config_is_plain_path(file))
		config_blame("catalog", "password_file",
			     "not a plain absolute path; allowed: such as "
			     "/etc/weft/redis-password");
}

void config_check(const struct config *config, struct config_mistakes *mistakes)
{
	config_check_names(config, mistakes);
	config_check_ranges(config, mistakes);
	config_check_guest_link(config, mistakes);
	config_check_ports(config, mistakes);
	config_check_asked(config, mistakes);
	config_check_services(config, mistakes);
	config_check_service_port(config, mistakes);
	config_check_uplink(config, mistakes);
	config_check_cgroup(config, mistakes);
	config_check_door(config, mistakes);
	config_check_wake(config, mistakes);
	config_check_catalog(config, mistakes);
	if (config->pool.size > config_slot_max(&config->layout))
		config_blame("pool", "size", "more than there are slots; allowed: at most %u",
			     config_slot_max(&config->layout));
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All options, in the order of weftd.conf(5). `make check` compares the manual page and the sample file with this table.
 * Defaults go through the same reader as the values of a file.
 */
#include "config/config.h"
#include "config/option.h"

#include <string.h>

enum { SECOND = 1000, HOUR = 3600 * SECOND, DAY = 24 * HOUR };

static const char *const log_levels[] = { "debug", "info", "warning", "error", NULL };
static const char *const log_formats[] = { "text", "json", NULL };
static const char *const loopback_ways[] = { "forwarder", "kernel", "auto", NULL };
static const char *const forward_modes[] = { "enable", "require", NULL };

#define AT(member)  .offset = offsetof(struct config, member)
#define AND(member) .second = offsetof(struct config, member)
#define RELOADABLE  .reloadable = true

const struct option option_table[] = {
	{ "daemon", "socket_group", OPTION_STRING, .initial = "", AT(daemon.socket_group), .max = 32,
	  .pattern = "the name of a group", .word = "root alone",
	  .text =
	      "The group whose members may use the control socket: administrators of this host's sandbox network." },
	{ "daemon", "log_level", OPTION_CHOICE, RELOADABLE, .initial = "info", AT(daemon.log_level),
	  .words = log_levels, .text = "The least severe messages that are logged." },
	{ "daemon", "log_format", OPTION_CHOICE, RELOADABLE, .initial = "text", AT(daemon.log_format),
	  .words = log_formats, .text = "How a line is logged: key=value fields, or one JSON object." },
	{ "daemon", "workers", OPTION_COUNT, .initial = "cores", AT(daemon.workers), .word = "cores", .min = 1,
	  .max = 256, .text = "How many threads forward connections; `cores' is one for each that weftd may run on." },

	{ "names", "netns_dir", OPTION_STRING, .initial = "/run/netns", AT(layout.netns_dir), .min = 2, .max = 160,
	  .pattern = "an absolute path", .text = "Where namespaces are bound; ip-netns(8) knows /run/netns alone." },
	{ "names", "netns_prefix", OPTION_STRING, .initial = "ns-", AT(layout.netns_prefix), .min = 1, .max = 40,
	  .pattern = "letters, digits, '_', '.' and '-'",
	  .text = "A namespace's name, before the number of its slot." },
	{ "names", "veth_prefix", OPTION_STRING, .initial = "veth-", AT(layout.veth_prefix), .min = 1, .max = 14,
	  .pattern = "letters, digits, '_', '.' and '-'",
	  .text = "A veth's name on the host, before the number of its slot; 15 characters with it." },
	{ "names", "link_group", OPTION_COUNT, .initial = "1874", AT(layout.link_group), .min = 1, .max = INT32_MAX,
	  .text = "The link group that marks a veth as weft's; nothing else on the host may use it." },

	{ "addresses", "host_cidr", OPTION_NETWORK, .initial = "10.11.0.0/16", AT(layout.host_cidr), .min = 8,
	  .max = 30, .text = "Host addresses: slot N answers at the network's address plus N." },
	{ "addresses", "veth_cidr", OPTION_NETWORK, .initial = "10.12.0.0/16", AT(layout.veth_cidr), .min = 8,
	  .max = 29, .text = "Addresses of the veths: slot N has 2N on the host and 2N+1 in its namespace." },
	{ "addresses", "guest", OPTION_INTERFACE, .initial = "169.254.0.21/30", AT(layout.guest), .min = 8, .max = 30,
	  .text = "The guest's address, the same in every sandbox." },
	{ "addresses", "tap", OPTION_INTERFACE, .initial = "169.254.0.22/30", AT(layout.tap), .min = 8, .max = 30,
	  .text = "The address of tap0, the guest's gateway, the same in every sandbox." },
	{ "addresses", "guest_mac", OPTION_MAC_OR_LEARN, .initial = "02:FC:00:00:00:05", AT(layout.guest_mac),
	  AND(layout.guest_mac_learn),
	  .text = "The guest's MAC, a permanent neighbour of tap0; `learn' leaves it to ARP, for managers that choose "
		  "MACs themselves." },
	{ "addresses", "tap_mac", OPTION_MAC, .initial = "02:FC:00:00:00:06", AT(layout.tap_mac),
	  .text = "The MAC of tap0." },
	{ "addresses", "mtu", OPTION_SIZE, .initial = "uplink", AT(layout.mtu), .word = "uplink", .min = 576,
	  .max = 65535, .text = "MTU of veth and TAP, told to the guest's manager; `uplink' takes the uplink's." },
	{ "addresses", "uplink", OPTION_STRING, .initial = "", AT(addresses.uplink), .max = 15,
	  .pattern = "the name of a link", .word = "the default route's",
	  .text = "The link by which guests reach the world." },
	{ "addresses", "dns", OPTION_IP_LIST, .initial = "", AT(addresses.dns),
	  .text = "A resolver that guests are told and may ask on port 53." },

	{ "forwarder", "default_listen", OPTION_LISTEN_LIST, .initial = "127.0.0.1:49983 [::1]:49983",
	  AT(forwarder.default_listen), .text = "Where the default endpoint listens; empty turns it off." },
	{ "forwarder", "default_guest_port", OPTION_PORT, .initial = "49983", AT(forwarder.default_guest_port),
	  .text = "The guest's port behind the default endpoint." },
	{ "forwarder", "default_wait", OPTION_DURATION, RELOADABLE, .initial = "2s", AT(forwarder.default_wait_ms),
	  .max = HOUR, .text = "How long a client of the default endpoint is held while no sandbox is the default." },
	{ "forwarder", "connect_deadline", OPTION_DURATION, RELOADABLE, .initial = "30s",
	  AT(forwarder.connect_deadline_ms), .min = 1, .max = HOUR,
	  .text = "How long a client is held while its guest does not answer, counted from accept." },
	{ "forwarder", "refused_grace", OPTION_DURATION, RELOADABLE, .initial = "1s", AT(forwarder.refused_grace_ms),
	  .max = HOUR, .text = "How long a refused connection to a ready sandbox is tried again." },
	{ "forwarder", "idle", OPTION_DURATION, RELOADABLE, .initial = "0", AT(forwarder.idle_ms), .max = DAY,
	  .text = "A connection without a byte for so long is reset; 0 sets no limit. SDKs keep theirs up to 640s." },
	{ "forwarder", "half_closed", OPTION_DURATION, RELOADABLE, .initial = "0", AT(forwarder.half_closed_ms),
	  .max = DAY,
	  .text = "A connection closed in one direction, and idle in the other for so long, is reset; 0 sets "
		  "no limit." },
	{ "forwarder", "keepalive", OPTION_DURATION, RELOADABLE, .initial = "15s", AT(forwarder.keepalive_ms),
	  .min = SECOND, .max = 32767U * SECOND,
	  .text = "A silent peer is probed after this time, in whole seconds; 0 turns probes off." },
	{ "forwarder", "connections", OPTION_COUNT, RELOADABLE, .initial = "0", AT(forwarder.connections),
	  .max = 10000000, .text = "The most connections of all sandboxes together; 0: as many as descriptors allow." },
	{ "forwarder", "sandbox_connections", OPTION_COUNT, RELOADABLE, .initial = "0",
	  AT(forwarder.sandbox_connections), .max = 10000000,
	  .text = "The most connections of a sandbox whose registration sets no limit; 0: a fair share of the "
		  "descriptors alone." },
	{ "forwarder", "udp_flows", OPTION_COUNT, RELOADABLE, .initial = "4096", AT(forwarder.udp_flows), .min = 1,
	  .max = 1000000,
	  .text = "The most clients of a UDP endpoint at once. The oldest that never got an answer makes room; if "
		  "there is none, the new one is dropped." },
	{ "forwarder", "udp_flows_per_client", OPTION_COUNT, RELOADABLE, .initial = "1024",
	  AT(forwarder.udp_flows_per_client), .min = 1, .max = 1000000,
	  .text = "The most of these from one address, each from a port of its own." },
	{ "forwarder", "handover", OPTION_BOOL, RELOADABLE, .initial = "yes", AT(forwarder.handover),
	  .text =
	      "Whether open connections are handed over to the next start, by way of the service manager's store. A "
	      "stop that is no restart resets them at once." },
	{ "forwarder", "stop_drain", OPTION_DURATION, RELOADABLE, .initial = "5s", AT(forwarder.stop_drain_ms),
	  .max = HOUR,
	  .text = "How long open connections may go on once weftd was told to stop, where they are not handed over." },
	{ "forwarder", "loopback", OPTION_CHOICE, RELOADABLE, .initial = "auto", AT(forwarder.loopback),
	  .words = loopback_ways,
	  .text =
	      "Which loopback endpoints have clients that the kernel connects straight to the guest, past weftd: with "
	      "`auto' those of the ready_port and the default endpoint; with `kernel' all whose port has answered; "
	      "with "
	      "`forwarder' none. Those with a limit, a timer or a PROXY header never have." },
	{ "forwarder", "cgroup", OPTION_STRING, .initial = "", AT(forwarder.cgroup), .max = 255,
	  .pattern = "an absolute path", .word = "the root of the host's cgroup2",
	  .text =
	      "The folder of the cgroup2 whose processes are led by `loopback', with those of all cgroups below it." },

	{ "ports", "range", OPTION_RANGE, .initial = "20000-29999", AT(ports.first), AND(ports.last),
	  .text = "Ports that are given out to endpoints without an address of their own." },
	{ "ports", "allow_address", OPTION_NETWORK_LIST, RELOADABLE, .initial = "", AT(ports.allow_address),
	  .text = "Addresses other than loopback that an endpoint may listen on." },
	{ "ports", "allow_privileged", OPTION_BOOL, RELOADABLE, .initial = "no", AT(ports.allow_privileged),
	  .text = "Whether an endpoint may listen on a port below 1024." },

	{ "host", "ip_forward", OPTION_CHOICE, .initial = "enable", AT(host.ip_forward), .words = forward_modes,
	  .text =
	      "Where net.ipv4.ip_forward is 0: `enable' sets it, and says so; `require' refuses to start, and later "
	      "reports it." },

	{ "pool", "size", OPTION_COUNT, RELOADABLE, .initial = "0", AT(pool.size), .max = CONFIG_SLOT_MAX,
	  .text = "How many slots are kept ready for the next sandboxes; 0: none." },
	{ "pool", "refill", OPTION_COUNT, RELOADABLE, .initial = "0", AT(pool.refill), .max = 10000,
	  .text = "At most so many slots a second are made to refill the pool; 0: no limit." },
	{ "pool", "quarantine", OPTION_DURATION, RELOADABLE, .initial = "10s", AT(pool.quarantine_ms), .max = HOUR,
	  .text = "How long the slot of a sandbox that is gone rests before another gets it." },
	{ "pool", "tap_owner", OPTION_OWNER, .initial = "", AT(pool.tap_owner),
	  .text = "Who may open the TAP of a sandbox whose registration names no owner; slots are prepared for it." },

	{ "egress", "internet", OPTION_BOOL, .initial = "yes", AT(egress.internet),
	  .text = "Whether guests reach the world, where their own policy does not say." },
	{ "egress", "allow_host", OPTION_SERVICE_LIST, .initial = "", AT(egress.allow_host),
	  .text = "A service of this host that all guests may reach, at an address that need not be one of the host." },
	{ "egress", "service_port", OPTION_PORT, .initial = "5382", AT(egress.service_port),
	  .text = "Where weftd listens for what it forwards to such a service; open to guests alone, and only while "
		  "there is one." },
	{ "egress", "redirect", OPTION_REDIRECT_LIST, .initial = "", AT(egress.redirect),
	  .text = "Hands the guests' TCP for a port, of whatever address, to a proxy on a port of this host." },
	{ "egress", "open", OPTION_NETWORK_LIST, .initial = "", AT(egress.open),
	  .text = "A network within the ranges that are always denied, opened to all guests." },
	{ "egress", "flows", OPTION_COUNT, .initial = "8192", AT(egress.flows), .min = 1, .max = 1000000,
	  .text = "How many flows a guest may have open into the world, and as many again to services of the host and "
		  "DNS servers." },
	{ "egress", "connections", OPTION_COUNT, RELOADABLE, .initial = "512", AT(egress.connections), .min = 1,
	  .max = 1000000,
	  .text = "How many connections of a guest weftd carries at once to services of the host; more are reset." },
	{ "egress", "dscp", OPTION_COUNT, .initial = "0", AT(egress.dscp), .max = CONFIG_DSCP_MAX,
	  .text = "The DSCP of what guests send, where their own policy does not say; 0: as they set it." },

	{ "ingress", "allow", OPTION_NETWORK_LIST, .initial = "", AT(ingress.allow),
	  .text = "A source, other than this host, that may open connections to the sandboxes' host addresses." },
	{ "ingress", "local_users", OPTION_USERS_LIST, .initial = "", AT(ingress.local_users),
	  .text =
	      "A user or group of this host that, like root, may open connections to the sandboxes' host addresses; "
	      "without the key, every user may." },

	{ "http", "listen", OPTION_LISTEN_LIST, .initial = "", AT(http.listen),
	  .text =
	      "Where metrics and the status page are served over TCP, to anybody who reaches it; empty turns it off." },
	{ "http", "sandbox_metrics", OPTION_BOOL, RELOADABLE, .initial = "no", AT(http.sandbox_metrics),
	  .text = "Whether the metrics have series for each sandbox: eleven of them, under its id." },

	{ "door", "socket", OPTION_STRING, .initial = "/run/weft/door.sock", AT(door.socket), .max = CONFIG_SOCKET_MAX,
	  .pattern = "an absolute path", .word = "there is no door",
	  .text =
	      "Where HAProxy hands over clients of all sandboxes: a unix socket, in a directory that root alone may "
	      "write to." },
	{ "door", "group", OPTION_STRING, RELOADABLE, .initial = CONFIG_DOOR_GROUP, AT(door.group), .max = 32,
	  .pattern = "the name of a group", .word = "root alone",
	  .text =
	      "The group whose members may connect there; while there is no group of the default's name, root alone "
	      "may." },
	{ "door", "hold", OPTION_DURATION, RELOADABLE, .initial = "30s", AT(door.hold_ms), .min = 1, .max = HOUR,
	  .text = "How long a client is held there while its sandbox boots, is paused or does not answer." },
	{ "door", "public", OPTION_BOOL, RELOADABLE, .initial = "yes", AT(door.is_public),
	  .text =
	      "Whether everybody may come through the door to a new sandbox, where its registration does not say." },
	{ "door", "domain", OPTION_STRING, RELOADABLE, .initial = "", AT(door.domain), .max = CONFIG_DOMAIN_MAX,
	  .pattern = "a host name", .word = "none",
	  .text = "The domain under which the door serves sandboxes as PORT-ID.DOMAIN, for the links that are shown." },
	{ "door", "backlog", OPTION_COUNT, .initial = "4096", AT(door.backlog), .min = 1, .max = 65535,
	  .text = "How many clients may wait there to be accepted; the kernel's net.core.somaxconn is a limit, too." },

	{ "wake", "notify", OPTION_STRING, RELOADABLE, .initial = "", AT(wake.notify), .max = CONFIG_SOCKET_MAX,
	  .pattern = "an absolute path", .word = "nobody is told but readers of events",
	  .text = "The unix socket of the VM manager, which weftd asks by POST /wake to resume a sandbox that is "
		  "asleep and that somebody wants." },
	{ "wake", "ignore", OPTION_NETWORK_LIST, RELOADABLE, .initial = "", AT(wake.ignore),
	  .text = "A source whose packets and connections wake no sandbox, such as a host that checks whether "
		  "sandboxes answer." },

	{ "catalog", "redis", OPTION_STRING, .initial = "", AT(catalog.redis), .max = 320,
	  .pattern = "HOST:PORT or unix:PATH", .word = "off",
	  .text = "The Redis in which an edge, such as E2B's client-proxy, finds the host of each sandbox." },
	{ "catalog", "password_file", OPTION_STRING, .initial = "", AT(catalog.password_file), .max = 320,
	  .pattern = "an absolute path", .word = "no password",
	  .text = "A file with the password for Redis on a line, or the name of a user of Redis on a line before it. "
		  "Nobody but its owner may read it; a reload reads it again." },
	{ "catalog", "key_prefix", OPTION_STRING, .initial = "sandbox:catalog:", AT(catalog.key_prefix), .max = 128,
	  .pattern = "characters other than blanks", .word = "none",
	  .text = "What a sandbox's key begins with; its name follows, or its id where it has none." },
	{ "catalog", "address", OPTION_STRING, .initial = "", AT(catalog.address), .max = 253,
	  .pattern = "an address, or a name, without a port", .word = "none",
	  .text = "Where an edge reaches this host's door, as orchestrator_ip in each entry; needed with redis." },
	{ "catalog", "host_id", OPTION_STRING, .initial = "", AT(catalog.host_id), .max = 128,
	  .pattern = "letters, digits, '_', '.', ':' and '-'", .word = "the host's name",
	  .text = "Which host this is, as orchestrator_id in each entry." },
	{ "catalog", "ttl", OPTION_DURATION, .initial = "90s", AT(catalog.ttl_ms), .min = 1, .max = DAY,
	  .text = "How long an entry outlives this host, or its way to Redis. It is renewed three times as often." },
};

const size_t option_count = sizeof(option_table) / sizeof(option_table[0]);

const struct option *config_option_find(const char *section, const char *key)
{
	for (size_t i = 0; i < option_count; i++)
		if (strcmp(option_table[i].section, section) == 0 && strcmp(option_table[i].key, key) == 0)
			return &option_table[i];
	return NULL;
}

bool config_option_section_exists(const char *section)
{
	for (size_t i = 0; i < option_count; i++)
		if (strcmp(option_table[i].section, section) == 0)
			return true;
	return false;
}

bool config_option_is_list(const struct option *option)
{
	return option->type >= OPTION_LISTEN_LIST;
}

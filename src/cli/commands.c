/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl's commands, in the order of a sandbox's life. The man page and the completion are checked against this table.
 */
#include "cli/commands.h"

#include "cli/choose.h"
#include "cli/rates.h"

#define NAT_OPTION                                                                                                     \
	{                                                                                                              \
		"nat", NULL, false, NULL, "let the kernel translate the ports, past weftd; each needs its ADDR:PORT"   \
	}
#define HEADER_OPTION                                                                                                  \
	{                                                                                                              \
		"proxy-protocol", NULL, false, NULL,                                                                   \
		    "tell the guest the client's address: PROXY protocol v2, TCP only"                                 \
	}

#define WAKE_OPTION                                                                                                    \
	{                                                                                                              \
		"wake", "PORTS", false, NULL,                                                                          \
		    "what wakes it while it is paused: 8080,5353/udp, published, any or none"                          \
	}
#define WAKE_TIME_OPTIONS                                                                                              \
	{ "min-awake", "T", false, NULL, "how long after a pause nothing wakes it (default 5s)" },                     \
	    { "wake-timeout", "T", false, NULL, "how long a client is held while it is paused (default 1m)" },         \
	{                                                                                                              \
		"idle-report", "T", false, NULL, "how long without traffic until an event says so"                     \
	}

static const struct option_spec register_options[] = {
	{ "name", "NAME", false, NULL, "a name, which means it wherever its id does" },
	{ "port", "P[/PROTO][=ADDR:PORT]", true, NULL,
	  "publish guest port P, at a free port of loopback or exactly there" },
	NAT_OPTION,
	HEADER_OPTION,
	{ "default", NULL, false, NULL, "make it the sandbox behind the default endpoint" },
	{ "ready-port", "P", false, NULL, "the guest is ready when it accepts connections on port P" },
	{ "tap-owner", "UID:GID", false, NULL, "who may open the TAP without privileges; names will do" },
	{ "label", "K=V", true, NULL, "a label, for 'ls --label'" },
	{ "door", "WAY[:P]", true, NULL,
	  "who may come through the front door, to all ports or to P: public, token, closed:P" },
	{ "door-token", "SHA256", false, NULL, "the SHA-256 of the token, in base64" },
	WAKE_OPTION,
	WAKE_TIME_OPTIONS,
	{ "body", "FILE", false, NULL,
	  "the whole request as JSON, from a file or from '-', instead of the options above" },
	{ 0 },
};

static const struct option_spec unregister_options[] = {
	{ "drain", "S", false, NULL, "let its connections end by themselves for up to S seconds" },
	{ 0 },
};

static const struct option_spec ls_options[] = {
	{ "state", "STATE", false, "creating waiting attached ready detached paused draining failed",
	  "only sandboxes in this state" },
	{ "label", "K=V", true, NULL, "only sandboxes with this label" },
	{ "filter", "KEY=VALUE", true, NULL, CHOOSE_FILTER_TEXT },
	{ "sort", "KEY", false, "slot id name state since conn traffic -slot -id -name -state -since -conn -traffic",
	  "sorted by KEY, the smallest first (default slot); -KEY: the largest first" },
	{ "quiet", NULL, false, NULL, "print ids alone, one a line" },
	{ "wide", NULL, false, NULL, "print all columns, and cut nothing" },
	{ 0 },
};

static const struct option_spec show_options[] = {
	{ "firecracker", NULL, false, NULL, "print the network part of Firecracker's configuration instead" },
	{ "cloud-hypervisor", NULL, false, NULL, "print cloud-hypervisor's options instead, one a line" },
	{ "qemu", NULL, false, NULL, "print QEMU's options instead, one a line" },
	{ "env", NULL, false, NULL, "print names, addresses and MAC as variables instead, for a shell or a unit" },
	{ 0 },
};

static const struct option_spec wait_options[] = {
	{ "state", "STATE", false, "attached ready detached paused", "the state to wait for (default ready)" },
	{ "timeout", "S", false, NULL, "give up after S seconds, 0 to 300 (default 30)" },
	{ 0 },
};

static const struct option_spec default_options[] = {
	{ "off", NULL, false, NULL, "make it the default no longer" },
	{ 0 },
};

static const struct option_spec publish_options[] = {
	NAT_OPTION,
	HEADER_OPTION,
	{ 0 },
};

static const struct option_spec set_options[] = {
	{ "name", "NAME", false, NULL, "its name, which means it wherever its id does; an empty one removes it" },
	{ "label", "K=V", true, NULL, "a label, whose other value it replaces; others stay" },
	{ "unlabel", "K", true, NULL, "a label to remove" },
	{ "to-guest", "RATE[,BURST]", false, NULL, "bytes a second to the guest, at most; and how many at once" },
	{ "from-guest", "RATE[,BURST]", false, NULL, "bytes a second from the guest, likewise" },
	{ "connections", "N", false, NULL, "connections at once, at most" },
	{ "connect-deadline", "T", false, NULL, "how long a client waits for the guest" },
	{ "idle", "T", false, NULL, "how long a connection may be silent" },
	{ "half-closed", "T", false, NULL, "how long one side may go on alone" },
	{ "keepalive", "T", false, NULL, "how long until a silent peer is asked for a sign of life" },
	{ "door", "WAY[:P]", true, NULL,
	  "who may come through the front door, to all ports or to P: public, token, closed:P, none:P" },
	{ "door-token", "SHA256", false, NULL, "the SHA-256 of the token, in base64" },
	WAKE_OPTION,
	WAKE_TIME_OPTIONS,
	{ 0 },
};

static const struct option_spec policy_options[] = {
	{ "allow", "C", true, NULL, "destinations to allow; all given replace the former ones, 'none' removes them" },
	{ "deny", "C", true, NULL, "destinations to deny; likewise" },
	{ "internet", "yes|no", false, "yes no", "whether public addresses may be reached at all" },
	{ "dscp", "N", false, NULL, "the DSCP of what leaves the sandbox, 0 to 63; 0: as the guest sets it" },
	{ "isolated", "yes|no", false, "yes no", "whether everything is shut, services of the host and DNS too" },
	{ 0 },
};

static const struct option_spec pause_options[] = {
	WAKE_OPTION,
	{ 0 },
};

static const struct option_spec resume_options[] = {
	{ "flows", "keep|reset", false, "keep reset", "the fate of its connections (default keep)" },
	{ 0 },
};

static const struct option_spec diagnose_options[] = {
	{ "to", "ADDR", false, NULL, "a real destination for the way out, instead of an address that is nobody's" },
	{ 0 },
};

static const struct option_spec reach_options[] = {
	{ "proto", "PROTO", false, NULL, "tcp (the default), udp, icmp, gre, esp, ah, sctp or a number" },
	{ 0 },
};

static const struct option_spec doctor_options[] = {
	{ "config", "FILE", false, NULL, "the daemon's configuration (default /etc/weft/weftd.conf)" },
	{ 0 },
};

static const struct option_spec upgrade_check_options[] = {
	{ "weftd", "FILE", false, NULL, "the program to check (default: the installed one)" },
	{ "config", "FILE", false, NULL, "its configuration (default: that of the weftd that runs)" },
	{ 0 },
};

static const struct option_spec events_options[] = {
	{ "sandbox", "ID", false, NULL, "only the events of this sandbox" },
	{ "since", "SEQ", false, NULL, "go on after this event (see --json); needs --boot" },
	{ "boot", "BOOT", false, NULL, "the daemon's run that SEQ belongs to (see --json)" },
	{ "retry", "S", false, NULL, "when weftd ends, try for up to S seconds to go on (default 60; 0: end too)" },
	{ 0 },
};

static const struct option_spec top_options[] = {
	{ "sort", "KEY", false, RATE_KEYS,
	  "sorted by KEY (default traffic), numbers the largest first; -KEY: the other way round" },
	{ "filter", "KEY=VALUE", true, NULL, CHOOSE_FILTER_TEXT },
	{ "batch", NULL, false, NULL, "print one table after the other, for pipes" },
	{ "interval", "S", false, NULL, "seconds between two looks, 1 to 3600 (default 2)" },
	{ "count", "N", false, NULL, "stop after N looks; implies --batch" },
	{ 0 },
};

static const char ports_text[] =
    "P is a port of the guest, 1 to 65535; PROTO is tcp (the default) or udp. Without an address it is published at "
    "the\n"
    "lowest free port of the configured range, on 127.0.0.1 and [::1]. ADDR:PORT is exactly where to listen:\n"
    "127.0.0.1:18080, [::1]:18080 or localhost:18080 (both).";

static const char policy_text[] =
    "C is ADDRESS[/LENGTH][:PROTO[:PORT[-PORT][,PORT]...]]: 203.0.113.0/24, or "
    "198.51.100.7:tcp:443,8000-8099. PROTO is tcp, udp, icmp, gre, esp, ah, sctp\nor a number; without one an "
    "address to allow has tcp, udp and icmp. What is not given stays as it is;\n"
    "without options the policy in force is printed. A private or link-local address "
    "is not reached by\n--allow alone: the host's [egress] open must list it too.";

static const char several_text[] = "Of several IDs each is tried, and the worst exit code counts.";

const struct command commands[] = {
	{ "register", "ID", 1, 1, false, false, register_options, "Register a sandbox and make its network", ports_text,
	  command_register },
	{ "unregister", "ID...", 1, OPERANDS_ANY, false, false, unregister_options,
	  "Remove sandboxes and their networks", several_text, command_unregister },
	{ "ls", "", 0, 0, false, false, ls_options, "List the sandboxes", NULL, command_ls },
	{ "show", "ID...", 1, OPERANDS_ANY, false, false, show_options, "Show all about sandboxes",
	  "The options print settings for a VMM, which must run in the sandbox's namespace (jailer --netns, weftctl "
	  "exec).\nOf several IDs each is tried, and the worst exit code counts; JSON is one object after the other.",
	  command_show },
	{ "wait", "ID", 1, 1, false, false, wait_options, "Wait until a sandbox is in a state",
	  "Exits 0 when it is, 1 at the timeout or when it no longer can be, 3 if there is no such sandbox.",
	  command_wait },
	{ "publish", "ID P[/PROTO][=ADDR:PORT]...", 2, OPERANDS_ANY, false, false, publish_options,
	  "Publish ports of a sandbox", ports_text, command_publish },
	{ "unpublish", "ID P...", 2, OPERANDS_ANY, false, false, NULL, "Take published ports back",
	  "P is a guest port, or the address where it is published: 8080, 53/udp or 127.0.0.1:18080. A port alone is "
	  "taken\n"
	  "back for both protocols.",
	  command_unpublish },
	{ "default", "ID", 1, 1, false, false, default_options, "Make a sandbox the one behind the default endpoint",
	  NULL, command_default },
	{ "set", "ID", 1, 1, false, false, set_options, "Change name, limits, labels, door and wake of a sandbox",
	  "RATE and BURST are bytes, with K, M or G if need be: 12M is 12 MiB a second. T is 500ms, 30s, 5m or 2h. "
	  "'none'\n"
	  "removes a limit, the door's token, or what wakes it. What is not given stays as it is. Connections that are "
	  "open follow.",
	  command_set },
	{ "policy", "ID", 1, 1, false, false, policy_options, "Show or change where a sandbox may connect to",
	  policy_text, command_policy },
	{ "pause", "ID...", 1, OPERANDS_ANY, false, false, pause_options, "Say that the VMs of sandboxes are paused",
	  "Their connections stay; new ones wait until 'weftctl resume'. With --wake they are asleep: weftd asks\n"
	  "their manager to resume them when a client comes to one of these ports. That also holds for later\n"
	  "pauses, until it is changed. Of several IDs each is tried, and the worst exit code counts.",
	  command_pause },
	{ "resume", "ID...", 1, OPERANDS_ANY, false, false, resume_options, "Say that the VMs of sandboxes go on",
	  several_text, command_resume },
	{ "wake", "ID...", 1, OPERANDS_ANY, false, false, NULL, "Ask the managers of sandboxes to resume them",
	  "As a packet for a sandbox that is asleep would. It stays paused until its manager resumes it;\n"
	  "'weftctl wait ID' tells when. Of several IDs each is tried, and the worst exit code counts.",
	  command_wake },
	{ "reach", "ID DEST[:PORT]", 2, 2, false, false, reach_options,
	  "Ask whether policy lets a sandbox reach an address", NULL, command_reach },
	{ "diagnose", "ID", 1, 1, false, false, diagnose_options, "Walk a sandbox's path and name the first broken hop",
	  "The hops are door, listen, veth, route, rules, tap, guest, tcp, http, kernel and egress. 'idle' (nothing "
	  "listens "
	  "on that port) and '-' (not tried) are no faults. Exits 5 if a hop is broken.",
	  command_diagnose },
	{ "doctor", "", 0, 0, false, false, doctor_options, "Check the host for faults that break sandbox networks",
	  "Needs no daemon. Run it as root, in the environment in which clients run. Exits 5 if it finds a fault.",
	  command_doctor },
	{ "door", "[check [URL]]", 0, 2, false, false, doctor_options,
	  "Show the front door, or check the way through it",
	  "'check' asks at URL, http://127.0.0.1:3002 by default, for a sandbox that does not exist. With https the\n"
	  "certificate is looked at, by the program openssl. Exits 5 if a check fails.",
	  command_door },
	{ "events", "", 0, 0, false, false, events_options, "Follow the events", NULL, command_events },
	{ "connections", "ID", 1, 1, false, false, NULL, "List the connections of a sandbox", NULL,
	  command_connections },
	{ "top", "", 0, 0, false, false, top_options, "Watch the sandboxes' traffic",
	  "On a terminal 'h' lists the keys, 'q' ends it.", command_top },
	{ "status", "", 0, 0, false, false, NULL, "Show how the daemon is", NULL, command_status },
	{ "upgrade-check", "", 0, 0, false, false, upgrade_check_options,
	  "Check whether the installed weftd would start",
	  "Run it before a restart: connections end if the new weftd does not start. Exits as 'weftd --check' does:\n"
	  "0 if it would start; 64, 66 or 78 for its command line or configuration, 69 for the host.",
	  command_upgrade_check },
	{ "exec", "ID -- CMD...", 2, OPERANDS_ANY, true, true, NULL, "Run a command in a sandbox's namespace",
	  "Exits as CMD does; 126 if it cannot be run, 127 if there is none, 125 if weftctl itself failed.",
	  command_exec },
	{ "help", "[COMMAND]", 0, 1, false, true, NULL, "Explain weftctl, or a command with its options", NULL,
	  command_help },
	{ 0 },
};

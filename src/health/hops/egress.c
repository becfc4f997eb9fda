/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way out. Policy is asked first, and a destination that it denies is not tried. Then a datagram leaves the namespace in the
 * guest's name and goes through the rules, routes and translation of the host as one of the guest's would. Nobody has to answer:
 * conntrack confirms a flow only when its first packet has passed all hooks, those of forwarding and translation among them. The default
 * destination is an address of nobody's, so that a diagnosis tells nobody anything.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "fabric/fabric.h"
#include "health/walk.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

enum { CONFIRM_WAIT_MS = 500, LOOK_EACH_MS = 5, PROXIES_SIZE = 96 };

static uint32_t hop_egress_destination(const struct diagnose_request *request)
{
	return request->to ? request->to : DIAGNOSE_SOMEWHERE;
}

static uint32_t hop_egress_source(const struct walk *walk)
{
	return config_host_ip(walk->request->layout, walk->request->slot);
}

/* ---- Judgement ---- */

/* "; TCP goes to proxies: 80:5016 *:5018", which a datagram tells nothing about; or "". */
static const char *hop_egress_name_proxies(const struct walk *walk, char text[static PROXIES_SIZE])
{
	const struct config_redirect_list *redirects = &walk->request->config->egress.redirect;
	size_t used = 0;

	*text = '\0';
	for (size_t i = 0; i < redirects->count && used < PROXIES_SIZE; i++) {
		char entry[CONFIG_REDIRECT_TEXT_SIZE];
		used += (size_t)snprintf(text + used, PROXIES_SIZE - used, "%s %s", i ? "" : "; TCP goes to proxies:",
					 config_redirect_format(&redirects->items[i], entry));
	}
	return text;
}

/* The datagram left the host's filter; but as it was meant to? */
static enum hop_status hop_egress_judge_passed(struct walk *walk, struct hop *hop, const struct hop_egress_seen *seen,
					       bool *suspects)
{
	const struct inspect_look_way *reply = &seen->outside.reply;
	const char *uplink = walk->request->config->addresses.uplink;
	bool translated = reply->destination != hop_egress_source(walk);
	char text[IPV4_TEXT_SIZE], proxies[PROXIES_SIZE];

	if (seen->to_host)
		return hop_ok(hop, "reaches the host's own service");
	if (reply->source != seen->destination) {
		*suspects = true;
		return hop_fail(hop, "redirected on the host, to %s", addr_ipv4_format(reply->source, text));
	}
	if (translated)
		return hop_ok(hop, "leaves by %s as %s%s", seen->link, addr_ipv4_format(reply->destination, text),
			      hop_egress_name_proxies(walk, proxies));
	/* With an uplink of its own in the configuration, weft translates for that alone. */
	if (uplink && strcmp(uplink, seen->link) != 0) {
		walk_cause(
		    walk,
		    "the host's route leads by %s, and [addresses] uplink = %s is the link that weft translates for",
		    seen->link, uplink);
		walk_next_step(walk, "set [addresses] uplink to the link of the default route, or leave it out");
	} else {
		walk_cause(walk,
			   "a rule of another program keeps weft's masquerading from the sandbox's packets, so that "
			   "no answer finds back");
		walk_next_step(walk, "look for the chains of type nat at hook postrouting: nft list ruleset");
	}
	return hop_fail(hop, "leaves by %s with its own address, untranslated", seen->link);
}

enum hop_status hop_egress_judge(struct walk *walk, struct hop *hop, const struct hop_egress_seen *seen, bool *suspects)
{
	*suspects = false;
	if (!seen->inside.confirmed) {
		walk_cause(walk, "another table in %s drops what leaves it", walk->netns);
		walk_next_step(walk, "look with: ip netns exec %s nft list ruleset", walk->netns);
		return hop_fail(hop, "%s drops it", walk->netns);
	}
	if (seen->outside.confirmed)
		return hop_egress_judge_passed(walk, hop, seen, suspects);
	*suspects = true;
	return hop_fail(hop, "the host drops it: nothing passed forwarding and translation");
}

/* ---- Policy and routes ---- */

static enum hop_status hop_egress_check_policy(struct walk *walk, struct hop *hop, uint32_t destination, bool *to_host)
{
	struct fabric_reach reach;
	struct err err;

	if (fabric_reach_now(walk->request->config, walk->request->layout, walk->netns_fd, destination, IPPROTO_UDP,
			     DIAGNOSE_DISCARD_PORT, &reach, &err) < 0)
		return hop_fail(hop, "policy cannot be read: %s", err.text);
	*to_host = strcmp(reach.rule, "allow_host") == 0;
	if (reach.allowed)
		return HOP_OK;
	return hop_skip(hop, "denied by policy: rule %s%s%s%s", reach.rule, reach.set[0] ? ", " : "", reach.set,
			walk->request->to ? "" : "; to try an address that is allowed: --to ADDR");
}

/* Whether the host forwards what comes in by LINK. */
static bool hop_egress_is_forwarded(const char *link)
{
	char path[64 + CONFIG_LINK_SIZE];
	bool on = true;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/forwarding", link);
	FILE *file = fopen(path, "re");
	if (file) {
		on = fgetc(file) != '0';
		fclose(file);
	}
	return on;
}

static enum hop_status hop_egress_not_forwarded(struct walk *walk, struct hop *hop, const char *link)
{
	walk_cause(walk, "forwarding is off on this host, so that no guest reaches anything beyond it");
	walk_next_step(walk, "sysctl -w net.ipv4.ip_forward=1, and look for the program that turned it off");
	return hop_fail(hop, "the host does not forward: net.ipv4.conf.%s.forwarding is 0", link);
}

static enum hop_status hop_egress_no_route(struct walk *walk, struct hop *hop, const struct inspect_look_route *route)
{
	char from[IPV4_TEXT_SIZE], to[IPV4_TEXT_SIZE];

	if (route->error == EHOSTUNREACH && !hop_egress_is_forwarded(walk->veth))
		return hop_egress_not_forwarded(walk, hop, walk->veth);
	/* A host may be meant to have no way out. */
	if (route->error == ENETUNREACH && !walk->request->to)
		return hop_skip(hop, "the host has no default route, so that no guest gets beyond it: not tried");
	walk_cause(walk, "the host itself has no way there for the sandbox's packets");
	walk_next_step(walk, "look with: ip route get %s from %s iif %s; ip rule",
		       addr_ipv4_format(hop_egress_destination(walk->request), to),
		       addr_ipv4_format(hop_egress_source(walk), from), walk->veth);
	return hop_fail(hop, "no route on the host: %s", strerror(route->error));
}

/* ---- The datagram ---- */

/* Looks for the confirmed flow for as long as a packet may take on a busy host. 0, or -1 with ERR; see inspect_look_flow(). */
static int hop_egress_await(int netns_fd, const struct inspect_look_way *way, struct inspect_look_flow *flow,
			    bool *able, struct err *err)
{
	uint64_t deadline = clock_now_ms() + CONFIRM_WAIT_MS;

	for (;;) {
		if (inspect_look_flow(netns_fd, way, flow, able, err) < 0)
			return -1;
		if (flow->confirmed || clock_now_ms() >= deadline)
			return 0;
		poll(NULL, 0, LOOK_EACH_MS);
	}
}

/* Follows the datagram from SOURCE_PORT through the namespace and the host. As inspect_look_flow(). */
static int hop_egress_follow(const struct walk *walk, uint16_t source_port, struct hop_egress_seen *seen, bool *able,
			     struct err *err)
{
	struct inspect_look_way way = { .protocol = IPPROTO_UDP,
					.source = walk->request->layout->guest.ip,
					.source_port = source_port,
					.destination = seen->destination,
					.port = DIAGNOSE_DISCARD_PORT };

	if (hop_egress_await(walk->netns_fd, &way, &seen->inside, able, err) < 0)
		return -1;
	if (!seen->inside.confirmed)
		return 0;
	/* The namespace may have given it another port. */
	way.source = seen->inside.reply.destination;
	way.source_port = seen->inside.reply.port;
	return hop_egress_await(-1, &way, &seen->outside, able, err);
}

static bool hop_egress_is_conntrack_full(void)
{
	static const char *const paths[] = { "/proc/sys/net/netfilter/nf_conntrack_count",
					     "/proc/sys/net/netfilter/nf_conntrack_max" };
	unsigned numbers[2] = { 0, 0 };

	for (size_t i = 0; i < 2; i++) {
		FILE *file = fopen(paths[i], "re");
		if (!file)
			return false;
		if (fscanf(file, "%u", &numbers[i]) != 1)
			numbers[i] = 0;
		fclose(file);
	}
	return numbers[1] && numbers[0] >= numbers[1];
}

/* The datagram was lost or redirected on the host: names the rule, if it can be told. */
static void hop_egress_blame(struct walk *walk, const struct hop_egress_seen *seen)
{
	struct inspect_look_link in = { 0 }, out = { 0 };
	struct err ignored;

	inspect_look_link(-1, walk->veth, &in, &ignored);
	inspect_look_link(-1, seen->link, &out, &ignored);
	const struct ruleset_packet packet = { .iif = walk->veth,
					       .oif = seen->link,
					       .iif_index = in.index,
					       .oif_index = out.index,
					       .iif_group = walk->request->layout->link_group,
					       .oif_group = out.group,
					       .source = hop_egress_source(walk),
					       .destination = seen->destination,
					       .port = DIAGNOSE_DISCARD_PORT,
					       .protocol = IPPROTO_UDP };
	const struct hop_suspicion suspicions[] = { { HOOK_FORWARD, VERDICT_DROP, packet },
						    { HOOK_PREROUTING, VERDICT_REDIRECT, packet },
						    { HOOK_PREROUTING, VERDICT_DROP, packet },
						    { HOOK_POSTROUTING, VERDICT_DROP, packet } };

	if (hop_blame(walk, "packets from the sandbox to other hosts", suspicions,
		      sizeof(suspicions) / sizeof(suspicions[0]), false))
		return;
	if (hop_egress_is_conntrack_full()) {
		walk_cause(walk,
			   "the host's conntrack table is full, so that new connections of all programs are dropped");
		walk_next_step(walk, "sysctl -w net.netfilter.nf_conntrack_max=262144, or more; and: weftctl doctor");
		return;
	}
	if (hop_drift_is_foreign(walk))
		return;
	walk_cause(
	    walk,
	    "something on the host that cannot be judged from outside drops packets from the sandbox: a rule with "
	    "further conditions, or a tc or XDP program");
	walk_next_step(walk,
		       "look with: nft list ruleset; iptables-legacy -S; tc filter show dev %s ingress; and: weftctl "
		       "doctor",
		       walk->veth);
}

static enum hop_status hop_egress_try(struct walk *walk, struct hop *hop, struct hop_egress_seen *seen)
{
	bool able = true, suspects;
	uint16_t source_port;
	struct err err;

	if (health_probe_datagram(walk->netns_fd, walk->request->layout->guest.ip, seen->destination,
				  DIAGNOSE_DISCARD_PORT, &source_port, &err) < 0 &&
	    !(source_port && err.code == EPERM))
		return hop_fail(hop, "%s", err.text);
	/* EPERM with a port: it was dropped in the namespace, where then nothing is confirmed either. */
	if (hop_egress_follow(walk, source_port, seen, &able, &err) < 0) {
		if (able)
			return hop_fail(hop, "%s", err.text);
		return hop_skip(hop,
				"this kernel's conntrack cannot be asked, so that nothing tells whether it passes: %s",
				err.text);
	}
	enum hop_status status = hop_egress_judge(walk, hop, seen, &suspects);
	if (status == HOP_FAIL && suspects)
		hop_egress_blame(walk, seen);
	return status;
}

enum hop_status hop_egress(struct walk *walk, struct hop *hop, bool subject_only)
{
	struct hop_egress_seen seen = { .destination = hop_egress_destination(walk->request) };
	char from[IPV4_TEXT_SIZE], to[IPV4_TEXT_SIZE];
	struct inspect_look_route route;
	struct err err;

	hop_subject(hop, "%s -> %s:%u/udp", addr_ipv4_format(hop_egress_source(walk), from),
		    addr_ipv4_format(seen.destination, to), DIAGNOSE_DISCARD_PORT);
	if (subject_only)
		return HOP_SKIPPED;
	if (walk->request->state == SANDBOX_PAUSED)
		return hop_skip(hop, "paused: not tried");
	enum hop_status status = hop_egress_check_policy(walk, hop, seen.destination, &seen.to_host);
	if (status != HOP_OK)
		return status;
	if (inspect_look_route_from(-1, hop_egress_source(walk), walk->veth, seen.destination, &route, &err) < 0)
		return hop_fail(hop, "%s", err.text);
	if (!route.reachable)
		return hop_egress_no_route(walk, hop, &route);
	seen.link = route.link;
	/* weft turns it on for its own links again. The datagram would leave, but its answer comes in by the uplink. */
	if (!seen.to_host && !hop_egress_is_forwarded(seen.link))
		return hop_egress_not_forwarded(walk, hop, seen.link);
	return hop_egress_try(walk, hop, &seen);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel path: TCP connections from the host to the sandbox's host address, one to each port that the guest serves, because a rule
 * of another program may concern one port. Their outcome alone tells little, since another program of the host may answer in the
 * guest's place. Conntrack tells on the host whether a connection was redirected, and in the namespace whether it came there and was
 * answered.
 */
#include "base/cleanup.h"
#include "health/walk.h"

#include <netinet/in.h>
#include <string.h>

enum { DIAL_WAIT_MS = 1000 };

/* ---- Judgement ---- */

static uint32_t hop_kernel_host_ip(const struct walk *walk)
{
	return config_host_ip(walk->request->layout, walk->request->slot);
}

/* Another program answers for the sandbox, or would if it were there. */
static bool hop_kernel_is_redirected(const struct walk *walk, const struct hop_kernel_seen *seen)
{
	return seen->tracked && seen->outside.confirmed && seen->outside.reply.source != hop_kernel_host_ip(walk);
}

static enum hop_status hop_kernel_judge_redirected(struct hop *hop, const struct hop_kernel_seen *seen,
						   enum ruleset_hook *suspect)
{
	char text[IPV4_TEXT_SIZE];

	*suspect = HOOK_OUTPUT;
	return hop_fail(hop, "redirected on the host, to %s:%u", addr_ipv4_format(seen->outside.reply.source, text),
			seen->outside.reply.source_port);
}

static enum hop_status hop_kernel_judge_refused(struct hop *hop, const struct hop_kernel_seen *seen,
						enum ruleset_hook *suspect)
{
	*suspect = HOOK_OUTPUT;
	if (seen->served)
		return hop_fail(hop, "refused, although the guest accepts on its own link");
	/* Conntrack forgets a connection that is refused, so only a rule that surely interferes speaks against the guest. */
	return hop_ok(hop, "refused, as on the guest's own link: nothing listens there");
}

/* No answer came. Conntrack tells how far the connection got. */
static enum hop_status hop_kernel_judge_silent(struct walk *walk, struct hop *hop, const struct hop_kernel_seen *seen,
					       enum ruleset_hook *suspect)
{
	if (!seen->tracked) {
		*suspect = HOOK_OUTPUT;
		return hop_fail(hop, "no answer within %u ms", DIAL_WAIT_MS);
	}
	if (!seen->outside.confirmed) {
		*suspect = HOOK_OUTPUT;
		return hop_fail(hop, "no answer: the packets do not leave the host's own filter");
	}
	if (!seen->inside.confirmed) {
		walk_cause(walk,
			   "something between the host's filter and the guest drops packets: another table in %s, or a "
			   "tc or XDP program on %s",
			   walk->netns, walk->veth);
		walk_next_step(walk, "look with: ip netns exec %s nft list ruleset; tc filter show dev %s ingress",
			       walk->netns, walk->veth);
		return hop_fail(hop, "no answer: the packets leave the host and do not come through %s", walk->netns);
	}
	if (seen->inside.answered) {
		*suspect = HOOK_INPUT;
		return hop_fail(hop, "no answer: the guest's packets are lost on their way back to the host");
	}
	if (!seen->served)
		return hop_ok(hop, "reaches the guest, which answers nothing on this port");
	walk_cause(walk,
		   "the guest does not answer the host's addresses, and answers its gateway: a firewall in the guest, "
		   "or a route in it that leads elsewhere");
	walk_next_step(walk,
		       "look in the guest: its firewall, and ip route; the default route must lead to its gateway");
	return hop_fail(hop, "the guest got the packets and does not answer");
}

static enum hop_status hop_kernel_judge_answered(struct walk *walk, struct hop *hop, const struct hop_kernel_seen *seen)
{
	char text[IPV4_TEXT_SIZE];

	if (seen->tracked && !seen->inside.confirmed) {
		walk_cause(walk, "another program of the host, or another sandbox, answers at this address");
		walk_next_step(walk, "look with: ip route get %s; weftctl doctor",
			       addr_ipv4_format(hop_kernel_host_ip(walk), text));
		return hop_fail(hop, "answered, and not by the guest");
	}
	return hop_ok(hop, "accepts in %.1f ms", (double)seen->dial.probe.took_us / 1000);
}

enum hop_status hop_kernel_judge(struct walk *walk, struct hop *hop, const struct hop_kernel_seen *seen,
				 enum ruleset_hook *suspect)
{
	*suspect = HOOK_NONE;
	if (hop_kernel_is_redirected(walk, seen))
		return hop_kernel_judge_redirected(hop, seen, suspect);
	switch (seen->dial.probe.result) {
	case PROBE_ANSWERED:
		return hop_kernel_judge_answered(walk, hop, seen);
	case PROBE_REFUSED:
		return hop_kernel_judge_refused(hop, seen, suspect);
	case PROBE_SILENT:
		return hop_kernel_judge_silent(walk, hop, seen, suspect);
	case PROBE_UNREACHABLE:
		*suspect = HOOK_OUTPUT;
		break;
	case PROBE_FAILED:
		break;
	}
	return hop_fail(hop, "%s", seen->dial.probe.err.text);
}

/* ---- The rule to blame ---- */

/* Names the rule of another program at HOOK. SURE: only one that surely interferes. Returns whether there is one. */
static bool hop_kernel_blame(struct walk *walk, const struct hop_kernel_seen *seen, enum ruleset_hook hook, bool sure)
{
	uint32_t group = walk->request->layout->link_group, sandbox = hop_kernel_host_ip(walk);
	struct inspect_look_link link = { 0 };
	struct err ignored;
	char what[80];

	inspect_look_link(-1, walk->veth, &link, &ignored);
	const struct ruleset_packet there = { .iif = "",
					      .oif = walk->veth,
					      .oif_index = link.index,
					      .oif_group = group,
					      .source = seen->dial.source,
					      .destination = sandbox,
					      .port = seen->dial.probe.port,
					      .source_port = seen->dial.source_port };
	const struct ruleset_packet back = { .iif = walk->veth,
					     .oif = "",
					     .iif_index = link.index,
					     .iif_group = group,
					     .source = sandbox,
					     .destination = seen->dial.source,
					     .port = seen->dial.source_port,
					     .source_port = seen->dial.probe.port,
					     .established = true,
					     .local_destination = true };
	const struct hop_suspicion suspicions[] = { { HOOK_OUTPUT, VERDICT_REDIRECT, there },
						    { HOOK_OUTPUT, VERDICT_DROP, there },
						    { HOOK_POSTROUTING, VERDICT_DROP, there } };

	if (hook == HOOK_OUTPUT) {
		snprintf(what, sizeof(what), "connections from the host to port %u of the sandbox",
			 seen->dial.probe.port);
		return hop_blame(walk, what, suspicions, 3, sure);
	}
	return hop_blame(
	    walk, "packets from the sandbox back to the host",
	    (struct hop_suspicion[]){ { HOOK_INPUT, VERDICT_DROP, back }, { HOOK_PREROUTING, VERDICT_DROP, back } }, 2,
	    sure);
}

static enum hop_status hop_kernel_explain(struct walk *walk, struct hop *hop, const struct hop_kernel_seen *seen,
					  enum hop_status status, enum ruleset_hook suspect)
{
	if (status != HOP_FAIL) {
		if (!hop_kernel_blame(walk, seen, suspect, true))
			return status;
		return hop_fail(hop, "refused, and not by the guest");
	}
	if (hop_kernel_blame(walk, seen, suspect, false))
		return HOP_FAIL;
	if (hop_drift_is_foreign(walk))
		return HOP_FAIL;
	walk_cause(walk,
		   "something on the host that cannot be judged from outside takes the packets for the sandbox: a rule "
		   "with further conditions, an eBPF program of a cgroup, or a security module");
	walk_next_step(walk,
		       "look with: nft list ruleset; iptables-legacy -S; bpftool cgroup tree; and: weftctl doctor");
	return HOP_FAIL;
}

static enum hop_status hop_kernel_judge_one(struct walk *walk, struct hop *hop, const struct hop_kernel_seen *seen)
{
	enum ruleset_hook suspect;
	enum hop_status status = hop_kernel_judge(walk, hop, seen, &suspect);

	return suspect == HOOK_NONE ? status : hop_kernel_explain(walk, hop, seen, status, suspect);
}

enum hop_status hop_kernel_judge_all(struct walk *walk, struct hop *hop, const struct hop_kernel_seen *seen,
				     size_t count)
{
	char all[sizeof(hop->detail)] = "", found[sizeof(hop->detail)], more[sizeof(found) + 16];

	for (size_t i = 0; i < count; i++) {
		enum hop_status status = hop_kernel_judge_one(walk, hop, &seen[i]);

		if (count == 1)
			return status;
		strcpy(found, hop->detail);
		if (status == HOP_FAIL)
			return hop_fail(hop, "port %u: %.230s", seen[i].dial.probe.port, found);
		snprintf(more, sizeof(more), "%s%u %s", i ? "; " : "", seen[i].dial.probe.port, found);
		hop_append(all, sizeof(all), more);
	}
	return hop_ok(hop, "%s", all);
}

/* ---- Looks ---- */

/* Conntrack's two views of the connection. Where they cannot be looked at, the dial failed: that says nothing about the sandbox. */
static void hop_kernel_track(const struct walk *walk, struct hop_kernel_seen *seen)
{
	const struct inspect_look_way way = { .protocol = IPPROTO_TCP,
					      .source = seen->dial.source,
					      .source_port = seen->dial.source_port,
					      .destination = hop_kernel_host_ip(walk),
					      .port = seen->dial.probe.port };
	bool able = true;
	struct err err;

	if (!seen->dial.source_port)
		return;
	if (inspect_look_flow(-1, &way, &seen->outside, &able, &err) < 0 ||
	    inspect_look_flow(walk->netns_fd, &way, &seen->inside, &able, &err) < 0) {
		if (able) {
			seen->dial.probe.result = PROBE_FAILED;
			seen->dial.probe.err = err;
		}
		return;
	}
	seen->tracked = true;
}

/* A program may have gone since hop `tcp` dialed it, and then its port is refused with good reason. */
static void hop_kernel_ask_again(const struct walk *walk, struct hop_kernel_seen *seen)
{
	struct probe_port again = { .port = seen->dial.probe.port };

	if (!seen->served || seen->dial.probe.result != PROBE_REFUSED)
		return;
	health_probe_ports(walk->netns_fd, walk->request->layout->guest.ip, &again, 1, DIAL_WAIT_MS);
	seen->served = again.result != PROBE_REFUSED;
}

/* Dials the walk's ports from FIRST on, as many as go at once. Returns their number. */
static size_t hop_kernel_dial(const struct walk *walk, struct hop_kernel_seen *seen, size_t first)
{
	size_t count = walk->port_count - first < PROBES_AT_ONCE ? walk->port_count - first : PROBES_AT_ONCE;
	struct probe_dial dials[PROBES_AT_ONCE];

	for (size_t i = 0; i < count; i++)
		dials[i] = (struct probe_dial){ .probe.port = walk->ports[first + i], .fd = -1 };
	health_probe_dial(-1, hop_kernel_host_ip(walk), dials, count, DIAL_WAIT_MS);
	for (size_t i = 0; i < count; i++) {
		seen[i] = (struct hop_kernel_seen){ .dial = dials[i], .served = walk->served };
		hop_kernel_track(walk, &seen[i]);
		cleanup_fd(&seen[i].dial.fd);
		hop_kernel_ask_again(walk, &seen[i]);
	}
	return count;
}

static uint16_t hop_kernel_default_port(const struct diagnose_request *request)
{
	return request->ready_port ? request->ready_port : request->config->forwarder.default_guest_port;
}

enum hop_status hop_kernel(struct walk *walk, struct hop *hop, bool subject_only)
{
	struct hop_kernel_seen seen[HOP_PORTS_MAX];

	if (!walk->port_count)
		walk->ports[walk->port_count++] = hop_kernel_default_port(walk->request);
	hop_subject_ports(hop, hop_kernel_host_ip(walk), walk->ports, walk->port_count);
	if (subject_only)
		return HOP_SKIPPED;
	if (walk->request->state == SANDBOX_PAUSED)
		return hop_skip(hop, "paused: not tried");
	for (size_t done = 0; done < walk->port_count;)
		done += hop_kernel_dial(walk, &seen[done], done);
	return hop_kernel_judge_all(walk, hop, seen, walk->port_count);
}

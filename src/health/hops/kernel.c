/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel path: a TCP connection from the host to the sandbox's host address. Its outcome alone tells little, since another
 * program of the host may answer in the guest's place. Conntrack tells on the host whether the connection was redirected, and in the
 * namespace whether it came there and was answered.
 */
#include "base/cleanup.h"
#include "health/walk.h"

#include <netinet/in.h>
#include <string.h>

enum { DIAL_WAIT_MS = 1000 };

/* ---- Judgement ---- */

static uint32_t hop_kernel_host_ip(const struct walk *walk)
{
	return config_host_ip(walk->request->config, walk->request->slot);
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

static enum hop_status hop_kernel_judge_refused(struct walk *walk, struct hop *hop, enum ruleset_hook *suspect)
{
	*suspect = HOOK_OUTPUT;
	if (walk->served)
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
	if (!walk->served)
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
	return hop_ok(hop, "accepts in %.1f ms", (double)seen->dial.took_us / 1000);
}

enum hop_status hop_kernel_judge(struct walk *walk, struct hop *hop, const struct hop_kernel_seen *seen,
				 enum ruleset_hook *suspect)
{
	*suspect = HOOK_NONE;
	if (hop_kernel_is_redirected(walk, seen))
		return hop_kernel_judge_redirected(hop, seen, suspect);
	switch (seen->result) {
	case PROBE_ANSWERED:
		return hop_kernel_judge_answered(walk, hop, seen);
	case PROBE_REFUSED:
		return hop_kernel_judge_refused(walk, hop, suspect);
	case PROBE_SILENT:
		return hop_kernel_judge_silent(walk, hop, seen, suspect);
	case PROBE_UNREACHABLE:
		*suspect = HOOK_OUTPUT;
		break;
	case PROBE_FAILED:
		break;
	}
	return hop_fail(hop, "%s", seen->err.text);
}

/* ---- Looks ---- */

/* Conntrack's two views of the connection. 0, or -1 with ERR: they could not be looked at, which says nothing about the sandbox. */
static int hop_kernel_track(const struct walk *walk, struct hop_kernel_seen *seen, struct err *err)
{
	const struct inspect_look_way way = { .protocol = IPPROTO_TCP,
					      .source = seen->dial.source,
					      .source_port = seen->dial.source_port,
					      .destination = hop_kernel_host_ip(walk),
					      .port = walk->port };
	bool able = true;

	if (!seen->dial.source_port)
		return 0;
	if (inspect_look_flow(-1, &way, &seen->outside, &able, err) < 0 ||
	    inspect_look_flow(walk->netns_fd, &way, &seen->inside, &able, err) < 0)
		return able ? -1 : 0;
	seen->tracked = true;
	return 0;
}

/* Names the rule of another program at HOOK. SURE: only one that surely interferes. Returns whether there is one. */
static bool hop_kernel_blame(struct walk *walk, const struct hop_kernel_seen *seen, enum ruleset_hook hook, bool sure)
{
	uint32_t group = walk->request->config->names.link_group, sandbox = hop_kernel_host_ip(walk);
	struct inspect_look_link link = { 0 };
	struct err ignored;

	inspect_look_link(-1, walk->veth, &link, &ignored);
	const struct ruleset_packet there = { .iif = "",
					      .oif = walk->veth,
					      .oif_index = link.index,
					      .oif_group = group,
					      .source = seen->dial.source,
					      .destination = sandbox,
					      .port = walk->port };
	const struct ruleset_packet back = { .iif = walk->veth,
					     .oif = "",
					     .iif_index = link.index,
					     .iif_group = group,
					     .source = sandbox,
					     .destination = seen->dial.source,
					     .port = seen->dial.source_port,
					     .established = true };
	const struct hop_suspicion suspicions[] = { { HOOK_OUTPUT, VERDICT_REDIRECT, there },
						    { HOOK_OUTPUT, VERDICT_DROP, there },
						    { HOOK_POSTROUTING, VERDICT_DROP, there } };

	if (hook == HOOK_OUTPUT)
		return hop_blame(walk, "connections from the host to the sandbox", suspicions, 3, sure);
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
	walk_cause(walk,
		   "something on the host that cannot be judged from outside takes the packets for the sandbox: a rule "
		   "with further conditions, an eBPF program of a cgroup, or a security module");
	walk_next_step(walk,
		       "look with: nft list ruleset; iptables-legacy -S; bpftool cgroup tree; and: weftctl doctor");
	return HOP_FAIL;
}

enum hop_status hop_kernel(struct walk *walk, struct hop *hop, bool subject_only)
{
	struct hop_kernel_seen seen = { 0 };
	char text[IPV4_TEXT_SIZE];
	enum ruleset_hook suspect;
	struct err err;

	if (!walk->port)
		walk->port = walk->request->ready_port ? walk->request->ready_port
						       : walk->request->config->forwarder.default_guest_port;
	hop_subject(hop, "%s:%u", addr_ipv4_format(hop_kernel_host_ip(walk), text), walk->port);
	if (subject_only)
		return HOP_SKIPPED;
	if (walk->request->state == SANDBOX_PAUSED)
		return hop_skip(hop, "paused: not tried");
	seen.result = health_probe_dial(-1, hop_kernel_host_ip(walk), walk->port, DIAL_WAIT_MS, &seen.dial, &seen.err);
	int tracked = hop_kernel_track(walk, &seen, &err);
	cleanup_fd(&seen.dial.fd);
	if (tracked < 0)
		return hop_fail(hop, "%s", err.text);
	enum hop_status status = hop_kernel_judge(walk, hop, &seen, &suspect);
	return suspect == HOOK_NONE ? status : hop_kernel_explain(walk, hop, &seen, status, suspect);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sends frames through the host by links of its own, whose far ends are in a namespace that nobody else has: nothing reaches
 * another host. The links' addresses are of a range that the host has no use for. The namespace lives by a descriptor of this process
 * alone, and the links with it, so a process that is killed leaves nothing.
 *
 * A packet that does not arrive may have been lost for another reason. So no trial is made where another rule would be in its way,
 * and how the host routes is asked first.
 */
#include "inspect/trial.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "inspect/frame.h"
#include "inspect/inspect.h"
#include "inspect/look.h"
#include "kernel/address.h"
#include "kernel/link.h"
#include "kernel/neighbour.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PACKETS = 4, WAIT_MS = 1000, MTU = 1500, UNUSED_INDEX = 0x7fffffff };

/* A link: its end on the host, and the far one in the namespace. */
struct trial_end {
	char name[KERN_LINK_NAME_SIZE], peer[4];
	struct mac mac, peer_mac;
	uint32_t here, there; /* addresses */
	int index;
	int raw; /* frames of the far end; -1: not open */
};

struct trial_links {
	const struct inspect_trial *trial;
	struct ruleset_packet packet; /* that is sent */
	struct trial_end ends[2];
	size_t end_count;
	struct kern_rtnl host, inner;
	int host_fd, inner_fd;
	uint16_t chance; /* tells this trial's addresses from those of others */
	char *text;
	size_t size;
	enum inspect_trial_result result;
};

static enum inspect_trial_result inspect_links_none(struct trial_links *links, const char *why)
{
	snprintf(links->text, links->size, "%s", why);
	return TRIAL_NONE;
}

static bool inspect_links_is_sent(const struct trial_links *links)
{
	return !links->trial->packet->iif[0];
}

/* ---- The packet ---- */

/* A name that rules about names like LINK's are about, and no slot has: "veth-1" makes "veth-t3a". */
static void inspect_links_name(char name[static KERN_LINK_NAME_SIZE], const char *link, unsigned number)
{
	size_t length = strcspn(link, "0123456789");

	if (length > 8)
		length = 8;
	snprintf(name, KERN_LINK_NAME_SIZE, "%.*st%x", (int)length, link, number & 0xffff);
}

/* Whether the host has an address in RANGE, or a route into it other than those to everywhere. */
static bool inspect_links_is_used(const struct inspect_host *host, const struct cidr4 *range)
{
	for (size_t i = 0; i < host->address_count; i++)
		if (addr_cidr4_contains(range, host->addresses[i].cidr.ip))
			return true;
	for (size_t i = 0; i < host->route_count; i++) {
		const struct cidr4 *route = &host->routes[i].destination;
		if (route->length > 1 &&
		    (addr_cidr4_contains(route, range->ip) || addr_cidr4_contains(range, route->ip)))
			return true;
	}
	return false;
}

/* The packet from and to addresses in the eight of BASE. */
static void inspect_links_address(struct trial_links *links, uint32_t base)
{
	const struct ruleset_packet *asked = links->trial->packet;
	struct trial_end *in = &links->ends[0], *out = &links->ends[1];
	struct ruleset_packet *packet = &links->packet;

	in->here = base;
	in->there = base + 1;
	out->here = base + 2;
	out->there = base + 3;
	*packet = *asked;
	if (inspect_links_is_sent(links)) {
		packet->oif = in->name;
		packet->source = in->here;
		packet->destination = in->there;
	} else {
		packet->iif = in->name;
		packet->oif = asked->oif[0] ? out->name : "";
		packet->source = in->there;
		packet->destination = asked->local_destination ? in->here : out->there;
	}
	packet->iif_index = packet->iif[0] ? UNUSED_INDEX : 0;
	packet->oif_index = packet->oif[0] ? UNUSED_INDEX : 0;
	packet->iif_group = packet->oif_group = 0;
	packet->user = geteuid();
	packet->group = getegid();
}

/* Rules at other hooks than the one in question. */
static bool inspect_links_is_clear(const struct trial_links *links)
{
	static const enum ruleset_hook hooks[] = { HOOK_PREROUTING, HOOK_INPUT, HOOK_FORWARD, HOOK_OUTPUT,
						   HOOK_POSTROUTING };
	const struct ruleset_packet *packet = &links->packet;

	for (size_t i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++) {
		bool sent = hooks[i] == HOOK_OUTPUT, local = hooks[i] == HOOK_INPUT;
		if (hooks[i] == links->trial->hook || (sent && packet->iif[0]) ||
		    (hooks[i] == HOOK_PREROUTING && !packet->iif[0]) || (local && !packet->local_destination) ||
		    (hooks[i] == HOOK_FORWARD && (!packet->iif[0] || packet->local_destination)) ||
		    (hooks[i] == HOOK_POSTROUTING && packet->local_destination))
			continue;
		if (inspect_ruleset_ask(links->trial->ruleset, hooks[i], VERDICT_DROP, packet).certainty != RULESET_NO)
			return false;
	}
	return true;
}

/*
 * Chooses addresses that the host does not use, and with which a packet meets the rules. Which eight of a network they are is left to
 * chance, since other trials may be under way.
 */
static bool inspect_links_choose(struct trial_links *links)
{
	static const struct cidr4 networks[] = { { 0xc6120000, 15 }, { 0xc0000200, 24 }, { 0x0afffe00, 24 },
						 { 0xac1ffe00, 24 }, { 0xc0a8fe00, 24 }, { 0x647ffe00, 24 } };
	struct inspect_host host;
	struct err err;
	bool found = false;

	if (inspect_host(&host, &err) < 0)
		return false;
	for (size_t i = 0; i < sizeof(networks) / sizeof(networks[0]) && !found; i++) {
		uint32_t places = 1u << (29 - networks[i].length);
		struct cidr4 range = { .ip = networks[i].ip + links->chance % places * 8, .length = 29 };
		inspect_links_address(links, range.ip);
		if (inspect_links_is_used(&host, &range))
			continue;
		found = inspect_trial_is_alike(links->trial, &links->packet) ||
			(inspect_links_is_sent(links) && inspect_trial_port(links->trial, &links->packet, 0));
		found = found && inspect_links_is_clear(links);
	}
	inspect_host_clear(&host);
	return found;
}

/* ---- The links ---- */

static int inspect_links_open_raw(struct trial_links *links, struct trial_end *end, struct err *err)
{
	struct kern_link peer;
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP) };

	if (kern_link_get(&links->inner, KERN_LINK_HERE, end->peer, &peer, err) < 0 ||
	    kern_link_up(&links->inner, peer.index, end->peer, err) < 0)
		return -1;
	if (setns(links->inner_fd, CLONE_NEWNET) < 0)
		return err_set(err, errno, "the namespace of a trial");
	end->raw = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_IP));
	int code = errno;
	if (setns(links->host_fd, CLONE_NEWNET) < 0)
		return err_set(err, errno, "the host's namespace");
	address.sll_ifindex = peer.index;
	if (end->raw < 0)
		return err_set(err, code, "a socket for frames");
	if (bind(end->raw, (struct sockaddr *)&address, sizeof(address)) < 0)
		return err_set(err, errno, "a socket for frames");
	return 0;
}

static int inspect_links_make_end(struct trial_links *links, struct trial_end *end, struct err *err)
{
	const struct kern_veth veth = { .name = end->name,
					.peer = end->peer,
					.mac = end->mac,
					.peer_mac = end->peer_mac,
					.peer_fd = links->inner_fd,
					.mtu = MTU };
	const struct cidr4 cidr = { .ip = end->here, .length = 31 };
	struct kern_link made;

	if (kern_link_make_veth(&links->host, &veth, err) < 0 ||
	    kern_link_get(&links->host, KERN_LINK_HERE, end->name, &made, err) < 0)
		return -1;
	end->index = made.index;
	if (kern_link_no_ipv6(end->name, err) < 0 ||
	    kern_address_ensure(&links->host, end->index, &cidr, NULL, err) < 0 ||
	    kern_link_up_forwarding(&links->host, end->index, end->name, err) < 0 ||
	    kern_neighbour_ensure(&links->host, end->index, end->there, &end->peer_mac, err) < 0)
		return -1;
	return inspect_links_open_raw(links, end, err);
}

static int inspect_links_make(struct trial_links *links, struct err *err)
{
	links->host_fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (links->host_fd < 0)
		return err_set(err, errno, "the host's namespace");
	if (kern_rtnl_open(&links->host, -1, NETLINK_ROUTE, err) < 0)
		return -1;
	if (unshare(CLONE_NEWNET) < 0)
		return err_set(err, errno, "a network namespace");
	links->inner_fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	int opened = kern_rtnl_open(&links->inner, -1, NETLINK_ROUTE, err);
	if (setns(links->host_fd, CLONE_NEWNET) < 0)
		return err_set(err, errno, "the host's namespace");
	if (links->inner_fd < 0)
		return err_set(err, errno, "a network namespace");
	for (size_t i = 0; opened == 0 && i < links->end_count; i++)
		opened = inspect_links_make_end(links, &links->ends[i], err);
	return opened;
}

/* The links go at once, and not when the kernel comes to the namespace. */
static void inspect_links_unmake(struct trial_links *links)
{
	struct err ignored;

	for (size_t i = 0; i < links->end_count; i++) {
		if (links->ends[i].raw >= 0)
			close(links->ends[i].raw);
		if (links->ends[i].index)
			kern_link_delete(&links->host, KERN_LINK_HERE, links->ends[i].name, &ignored);
	}
	kern_rtnl_close(&links->inner);
	kern_rtnl_close(&links->host);
	if (links->inner_fd >= 0)
		close(links->inner_fd);
	if (links->host_fd >= 0)
		close(links->host_fd);
}

/* ---- The packets ---- */

static struct inspect_frame inspect_links_frame(const struct ruleset_packet *packet, bool back, uint8_t flags)
{
	return (struct inspect_frame){ .source = back ? packet->destination : packet->source,
				       .destination = back ? packet->source : packet->destination,
				       .source_port = back ? packet->port : packet->source_port,
				       .port = back ? packet->source_port : packet->port,
				       .protocol = packet->protocol,
				       .flags = flags };
}

static bool inspect_links_send(const struct trial_end *end, const struct inspect_frame *frame)
{
	uint8_t bytes[INSPECT_FRAME_SIZE];
	size_t size = inspect_frame_write(frame, &end->peer_mac, &end->mac, bytes);

	return send(end->raw, bytes, size, 0) == (ssize_t)size;
}

/* Whether FRAME comes out of END; of its ports those that are 0 may be any, and are written to it. */
static bool inspect_links_receive(const struct trial_end *end, struct inspect_frame *frame)
{
	struct pollfd ready = { .fd = end->raw, .events = POLLIN };
	uint8_t bytes[INSPECT_FRAME_SIZE];

	while (poll(&ready, 1, WAIT_MS) > 0) {
		ssize_t size = recv(end->raw, bytes, sizeof(bytes), 0);
		if (size > 0 && inspect_frame_read(bytes, (size_t)size, frame))
			return true;
	}
	return false;
}

static enum inspect_trial_result inspect_links_tell(bool came)
{
	return came ? TRIAL_PASSED : TRIAL_CAUGHT;
}

/* From a socket of the host to the far end; and, for a reply, back. */
static enum inspect_trial_result inspect_links_connect(struct trial_links *links)
{
	const struct ruleset_packet *packet = &links->packet;
	const struct trial_end *end = &links->ends[0];
	bool reply = !inspect_links_is_sent(links);
	struct sockaddr_in from = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(end->here),
				    .sin_port = htons(reply ? packet->port : 0) };
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(end->there),
				  .sin_port = htons(reply ? packet->source_port : packet->port) };
	struct inspect_frame seen = { .source = end->here,
				      .destination = end->there,
				      .port = ntohs(to.sin_port),
				      .protocol = packet->protocol,
				      .flags = TH_SYN };
	AUTO_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd ready = { .fd = fd, .events = POLLOUT };
	int code = 0;
	socklen_t length = sizeof(code);

	/* Nothing of the connection outlives it. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger)) < 0 ||
	    bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0)
		return inspect_links_none(links, "no socket is to be had");
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno == ENETUNREACH)
		return inspect_links_none(links, "the host routes the trial elsewhere");
	bool came = inspect_links_receive(end, &seen);
	if (!reply)
		return inspect_links_tell(came);
	if (!came)
		return inspect_links_none(links, "the connection of the trial could not begin");
	struct inspect_frame answer = { .source = end->there,
					.destination = end->here,
					.source_port = seen.port,
					.port = seen.source_port,
					.flags = TH_SYN | TH_ACK,
					.acknowledged = seen.sequence + 1 };
	if (!inspect_links_send(end, &answer))
		return inspect_links_none(links, "a frame could not be sent");
	if (poll(&ready, 1, WAIT_MS) > 0)
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length);
	else
		code = ETIMEDOUT;
	return inspect_links_tell(code == 0);
}

/* Whether the first packet of a reply's connection meets the rule in question too. */
static bool inspect_links_first_is_alike(const struct trial_links *links)
{
	const struct ruleset_packet *reply = &links->packet;
	struct ruleset_packet first = *reply;

	first.iif = reply->oif;
	first.oif = reply->iif;
	first.source = reply->destination;
	first.destination = reply->source;
	first.port = reply->source_port;
	first.source_port = reply->port;
	first.established = false;
	struct ruleset_answer answer =
	    inspect_ruleset_ask(links->trial->ruleset, links->trial->hook, links->trial->what, &first);
	return answer.certainty != RULESET_NO && answer.rule == links->trial->answer->rule;
}

/* From one far end to the other; a reply after its connection was begun. */
static enum inspect_trial_result inspect_links_forward(struct trial_links *links)
{
	const struct ruleset_packet *packet = &links->packet;
	const struct trial_end *in = &links->ends[0], *out = &links->ends[1];
	struct inspect_frame first = inspect_links_frame(packet, packet->established, TH_SYN), seen = first;

	if (!inspect_links_send(packet->established ? out : in, &first))
		return inspect_links_none(links, "a frame could not be sent");
	bool came = inspect_links_receive(packet->established ? in : out, &seen);
	if (!packet->established)
		return inspect_links_tell(came);
	if (!came && inspect_links_first_is_alike(links))
		return TRIAL_CAUGHT;
	if (!came)
		return inspect_links_none(links, "the connection of the trial could not begin");
	struct inspect_frame reply = inspect_links_frame(packet, false, TH_SYN | TH_ACK);
	reply.acknowledged = first.sequence + 1;
	if (!inspect_links_send(in, &reply))
		return inspect_links_none(links, "a frame could not be sent");
	return inspect_links_tell(inspect_links_receive(out, &reply));
}

/* Where the host would send it, by the rules and tables for routes. */
static bool inspect_links_is_routed(const struct trial_links *links)
{
	const struct trial_end *end = links->end_count > 1 ? &links->ends[1] : &links->ends[0];
	struct inspect_look_route route = { 0 };
	struct err err;

	int asked = links->end_count > 1 ? inspect_look_route_from(-1, links->ends[0].there, links->ends[0].name,
								   end->there, &route, &err)
					 : inspect_look_route(-1, end->there, &route, &err);
	return asked == 0 && strcmp(route.link, end->name) == 0;
}

static void inspect_links_send_all(struct trial_links *links)
{
	const struct ruleset_packet *asked = links->trial->packet;
	bool forward = links->end_count > 1;
	unsigned passed = 0;

	if (!inspect_links_is_routed(links)) {
		links->result = inspect_links_none(links, "the host routes the trial elsewhere");
		return;
	}
	for (unsigned i = 0; i < PACKETS; i++) {
		/* Each a connection of its own. */
		if (asked->established)
			links->packet.port = (uint16_t)(asked->port + i);
		else if (forward)
			links->packet.source_port = (uint16_t)(asked->source_port + i);
		if (i > 0 && !inspect_trial_is_alike(links->trial, &links->packet))
			continue;
		links->result = forward ? inspect_links_forward(links) : inspect_links_connect(links);
		if (links->result == TRIAL_NONE)
			return;
		if (links->result == TRIAL_CAUGHT) {
			snprintf(links->text, links->size, "tried: a packet by links of a trial did not arrive");
			return;
		}
		passed++;
	}
	snprintf(links->text, links->size, "tried: %u packets by links of a trial arrived", passed);
}

static void *inspect_links_run(void *context)
{
	struct trial_links *links = context;
	struct err err = { 0 };

	if (inspect_links_make(links, &err) == 0)
		inspect_links_send_all(links);
	else if (err.code == EPERM)
		inspect_links_none(links, "that takes root");
	else
		snprintf(links->text, links->size, "%s", err.text);
	inspect_links_unmake(links);
	return NULL;
}

enum inspect_trial_result inspect_trial_links(const struct inspect_trial *trial, char *text, size_t size)
{
	const struct ruleset_packet *asked = trial->packet;
	struct trial_links links = { .trial = trial,
				     .end_count = asked->iif[0] && !asked->local_destination ? 2 : 1,
				     .host = KERN_RTNL_CLOSED,
				     .inner = KERN_RTNL_CLOSED,
				     .host_fd = -1,
				     .inner_fd = -1,
				     .text = text,
				     .size = size };
	uint16_t numbers[3];
	pthread_t thread;

	if (strcmp(asked->iif, "lo") == 0 || strcmp(asked->oif, "lo") == 0)
		return TRIAL_NONE;
	if (getrandom(numbers, sizeof(numbers), 0) != sizeof(numbers))
		return inspect_links_none(&links, "no random numbers are to be had");
	links.chance = numbers[2];
	for (uint8_t i = 0; i < 2; i++) {
		struct trial_end *end = &links.ends[i];
		inspect_links_name(end->name, i == 0 ? (asked->iif[0] ? asked->iif : asked->oif) : asked->oif,
				   numbers[i]);
		snprintf(end->peer, sizeof(end->peer), "t%u", i);
		end->mac = (struct mac){ { 2, 0xfc, 0xfe, i, 0, 1 } };
		end->peer_mac = (struct mac){ { 2, 0xfc, 0xfe, i, 0, 2 } };
		end->raw = -1;
	}
	if (!inspect_links_choose(&links))
		return inspect_links_none(&links, "no packet of a trial meets that rule, or others are in its way");
	int code = pthread_create(&thread, NULL, inspect_links_run, &links);
	if (code)
		return inspect_links_none(&links, strerror(code));
	pthread_join(thread, NULL);
	return links.result;
}

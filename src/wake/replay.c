/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A copy is as its packet was when it left the host for the guest: behind a published port its destination was translated. Sent like that
 * it would be a second flow, whose answers clash with those of the client's own. So the flow is looked for by its answers, which are the
 * same for both, and the copy goes to the destination that began it. It passes the host's rules as a packet of the host's, and is the flow's
 * own again, with the source of the client.
 *
 * The kernel confirms a flow only after the rule that logs its first packet. If it is not there yet when the copy is made, it is when the
 * client repeats itself, or when the copy is sent. But by then it may be forgotten, which is why it is not asked only then.
 *
 * What is larger than the link takes is not sent. Datagrams that the kernel cuts from one buffer (UDP_SEGMENT) are logged before that, as
 * one, and are mostly too large as such.
 */
#include "wake/replay.h"

#include "base/err.h"
#include "base/netns.h"
#include "kernel/conntrack.h"
#include "wake/kept.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

void wake_replay_ask(struct wake_copy *copy)
{
	const struct wake_packet *packet = &copy->packet;
	const struct kern_conntrack_way answers = { .source = packet->destination,
						    .destination = packet->source,
						    .protocol = packet->proto == PROTO_TCP ? IPPROTO_TCP : IPPROTO_UDP,
						    .port = packet->source_port,
						    .source_port = packet->dest_port };
	struct kern_conntrack_flow flow;
	struct err ignored;
	bool found;

	if (kern_conntrack_find_reply(-1, &answers, &flow, &found, &ignored) < 0 || !found)
		return;
	/* The guest's own flow to the client, whose first packet went as these answers do, would be found as well. */
	if (flow.reply.source != answers.source || flow.reply.source_port != answers.source_port)
		return;
	copy->asked_known = true;
	copy->asked_ip = flow.original.destination;
	copy->asked_port = flow.original.port;
}

int wake_replay_send(int *fd, struct wake_copy *copy, struct err *err)
{
	struct wake_packet *packet = &copy->packet;
	struct sockaddr_in to = { .sin_family = AF_INET };

	if (*fd < 0)
		*fd = base_netns_socket(-1, AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW, err);
	if (*fd < 0)
		return -1;
	if (!copy->asked_known)
		wake_replay_ask(copy);
	if (copy->asked_known)
		wake_packet_direct(copy->bytes, packet, copy->asked_ip, copy->asked_port);
	else
		wake_packet_direct(copy->bytes, packet, packet->destination, packet->dest_port);
	to.sin_addr.s_addr = htonl(packet->destination);
	if (sendto(*fd, copy->bytes, packet->length, 0, (struct sockaddr *)&to, sizeof(to)) < 0)
		return err_set(err, errno, "a packet that is sent again");
	return 0;
}

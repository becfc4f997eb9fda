/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The text of the record is for people, too, so it is short, and names no client's port.
 */
#include "daemon/asleep_cause.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

json_t *daemon_asleep_cause_describe(const struct asleep_cause *cause, unsigned attempt)
{
	return json_pack("{s:s?, s:o, s:s?, s:s, s:i}", "source", cause->source, "dest_port",
			 cause->has_port ? json_integer(cause->port) : json_null(), "proto",
			 cause->has_port ? addr_proto_name(cause->proto) : NULL, "via", cause->via, "attempt",
			 (int)attempt);
}

const char *daemon_asleep_cause_source(const struct addr *client, char text[static INET6_ADDRSTRLEN])
{
	const struct in6_addr *in6 = &client->in6.sin6_addr;

	switch (client->any.sa_family) {
	case AF_INET:
		return inet_ntop(AF_INET, &client->in.sin_addr, text, INET6_ADDRSTRLEN);
	case AF_INET6:
		/* What came by IPv4 to a socket of both has the address in the last part. */
		return IN6_IS_ADDR_V4MAPPED(in6) ? inet_ntop(AF_INET, &in6->s6_addr[12], text, INET6_ADDRSTRLEN)
						 : inet_ntop(AF_INET6, in6, text, INET6_ADDRSTRLEN);
	default:
		return NULL;
	}
}

void daemon_asleep_cause_format(const struct asleep_cause *cause, char by[static SANDBOX_WAKE_BY_SIZE])
{
	if (!cause->has_port)
		snprintf(by, SANDBOX_WAKE_BY_SIZE, "%s", cause->via);
	else if (!cause->source)
		snprintf(by, SANDBOX_WAKE_BY_SIZE, "%u/%s", cause->port, addr_proto_name(cause->proto));
	else
		snprintf(by, SANDBOX_WAKE_BY_SIZE, "%u/%s from %s", cause->port, addr_proto_name(cause->proto),
			 cause->source);
}

/* A record of a weftd that wrote no way has what follows from the rest of it. */
static const char *daemon_asleep_cause_via(const char *written, bool has_port)
{
	static const char *const vias[] = { "kernel", "forwarder", "front-door", "api" };

	for (size_t i = 0; i < sizeof(vias) / sizeof(vias[0]); i++)
		if (strcmp(written, vias[i]) == 0)
			return vias[i];
	return has_port ? "kernel" : "api";
}

void daemon_asleep_cause_recall(const struct sandbox *sandbox, char source[static INET6_ADDRSTRLEN],
				struct asleep_cause *cause)
{
	char proto[4] = "";
	unsigned port = 0;

	source[0] = '\0';
	bool has_port = sscanf(sandbox->wake_by, "%u/%3s from %45s", &port, proto, source) >= 2;

	*cause = (struct asleep_cause){ .via = daemon_asleep_cause_via(sandbox->wake_via, has_port),
					.source = *source ? source : NULL,
					.has_port = has_port,
					.proto = strcmp(proto, "udp") == 0 ? PROTO_UDP : PROTO_TCP,
					.port = (uint16_t)port };
}

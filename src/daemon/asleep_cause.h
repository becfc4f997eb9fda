/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_ASLEEP_CAUSE_H
#define WEFT_DAEMON_ASLEEP_CAUSE_H

/* What wakes a sandbox, as the members of the event `wake` and as the text of its record, which the next run reads. */

#include "base/addr.h"
#include "registry/registry.h"

#include <jansson.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct asleep_cause {
	const char *via;    /* kernel, forwarder, front-door, api */
	const char *source; /* an address; NULL: not known, or none */
	bool has_port;      /* PROTO and PORT are set */
	enum proto proto;
	uint16_t port;    /* of the guest */
	bool by_endpoint; /* it came by an endpoint of weftd's, or the default one, so that PORT counts as published */
};

/* The event's members, for the ATTEMPT-th time that the manager is asked. NULL for lack of memory. */
json_t *daemon_asleep_cause_describe(const struct asleep_cause *cause, unsigned attempt);

/* The address of CLIENT, without its port; NULL: it has none. */
const char *daemon_asleep_cause_source(const struct addr *client, char text[static INET6_ADDRSTRLEN]);

/* Writes the text of the record: "8080/tcp from 192.0.2.7", or "api". */
void daemon_asleep_cause_format(const struct asleep_cause *cause, char by[static SANDBOX_WAKE_BY_SIZE]);

/* Reads what the record of SANDBOX tells of it. SOURCE gets the address, to which CAUSE then points. */
void daemon_asleep_cause_recall(const struct sandbox *sandbox, char source[static INET6_ADDRSTRLEN],
				struct asleep_cause *cause);

#endif

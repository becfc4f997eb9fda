/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_ASLEEP_CAUSE_H
#define WEFT_DAEMON_ASLEEP_CAUSE_H

/* What would wake a sandbox: for the event, for its record, and from there again. */

#include "base/addr.h"
#include "registry/registry.h"

#include <jansson.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct asleep_cause {
	const char *via;
	const char *source; /* an address; NULL: not known, or none */
	bool has_port;
	enum proto proto;
	uint16_t port;    /* of the guest */
	bool by_endpoint; /* of weftd's, be it the default one: that makes PORT a published one */
};

/* The members of the event of the ATTEMPT-th time that the manager is asked. NULL for lack of memory. */
json_t *daemon_asleep_cause_describe(const struct asleep_cause *cause, unsigned attempt);

/* The address of CLIENT, without its port; NULL: it has none. */
const char *daemon_asleep_cause_source(const struct addr *client, char text[static INET6_ADDRSTRLEN]);

/* For the record: 8080/tcp from 192.0.2.7. */
void daemon_asleep_cause_format(const struct asleep_cause *cause, char by[static SANDBOX_WAKE_BY_SIZE]);

/* What BY, our own text, tells of it. SOURCE is where CAUSE has its address. */
void daemon_asleep_cause_parse(const char *by, char source[static INET6_ADDRSTRLEN], struct asleep_cause *cause);

#endif

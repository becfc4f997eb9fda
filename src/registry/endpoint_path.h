/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_REGISTRY_ENDPOINT_PATH_H
#define WEFT_REGISTRY_ENDPOINT_PATH_H

/*
 * Decides which way clients of an endpoint go: through the forwarder, or straight to the guest, by an entry in the kernel's table of loopback
 * endpoints. Pure.
 */

#include "config/config.h"
#include "registry/registry.h"

#include <stdbool.h>

/* The part of the decision that is alike for all sandboxes: options, and the abilities of this host. */
struct path_facts {
	enum forwarder_loopback loopback;
	bool there;              /* there is a table, for IPv4 at least */
	bool ipv6;               /* it takes ::1, too */
	bool local_users;        /* not everybody may connect to the sandboxes' host addresses */
	bool limits_connections; /* a sandbox without a limit of its own has one all the same */
	bool stopping;
};

/* The facts that the options decide; the caller adds the others. */
struct path_facts registry_path_facts(const struct config *config);

struct path_question {
	const struct sandbox *sandbox;
	const struct endpoint *endpoint;
	bool is_default; /* it is the default endpoint, which is none of SANDBOX's own */
	bool answered;   /* its guest port has answered since the VM came */
};

/* PATH_ENTERED: it is to have an entry. Else the reason why not; of several reasons the one that lasts longest. */
enum path_reason registry_path_decide(const struct path_question *question, const struct path_facts *facts);

/* Whether the address at INDEX of ENDPOINT can have an entry: weft listens there, and it is a loopback address. */
bool registry_path_takes(const struct endpoint *endpoint, size_t index, const struct path_facts *facts);

/* Whether clients of at least one of its addresses go past the forwarder: by an entry, or because it is of nat. */
bool registry_path_is_kernel(const struct endpoint *endpoint);

/* "kernel" or "forwarder". */
const char *registry_path_name(const struct endpoint *endpoint);

/* Why not "kernel": "paused", "not-answered-yet" ...; NULL where it is. */
const char *registry_path_reason(const struct endpoint *endpoint);

#endif

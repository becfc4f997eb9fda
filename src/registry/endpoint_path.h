/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_REGISTRY_ENDPOINT_PATH_H
#define WEFT_REGISTRY_ENDPOINT_PATH_H

/*
 * Which way clients of an endpoint go: through the forwarder, or with an entry in the kernel's table of loopback endpoints straight to
 * the guest. Pure.
 */

#include "config/config.h"
#include "registry/registry.h"

#include <stdbool.h>

/* What the decision depends on besides the sandbox: options, and what this host can do. */
struct path_facts {
	enum forwarder_loopback loopback;
	bool there;              /* the kernel takes entries, for IPv4 at least */
	bool ipv6;               /* for ::1 too */
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
	bool answered;   /* its guest port did, in this life of the VM */
};

/* PATH_ENTERED: it is to have an entry. Else why not: what lasts longest comes first. */
enum path_reason registry_path_decide(const struct path_question *question, const struct path_facts *facts);

/* Whether the address at INDEX of ENDPOINT can have an entry: weft listens there, and it is a loopback address. */
bool registry_path_takes(const struct endpoint *endpoint, size_t index, const struct path_facts *facts);

/* Whether clients of one of its addresses at least need no forwarder. */
bool registry_path_is_kernel(const struct endpoint *endpoint);

/* "kernel" or "forwarder". */
const char *registry_path_name(const struct endpoint *endpoint);

/* Why not "kernel": "paused", "not-answered-yet" ...; NULL where it is. */
const char *registry_path_reason(const struct endpoint *endpoint);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A change has two steps. Preparing claims everything new (addresses, the default, the name) while the sandbox keeps everything old.
 * Aborting then only releases the new, committing only the old, and neither can fail.
 *
 * A port that both specifications name is one endpoint, which stays open. The place that a problem names is counted among the
 * new ports, as in "publish".
 */
#include "registry/problem.h"
#include "registry/registry_internal.h"

#include <stdlib.h>

static bool registry_endpoint_is_same(const struct endpoint *a, const struct endpoint *b)
{
	if (a->listen_count != b->listen_count || !registry_spec_port_equal(&a->port, &b->port))
		return false;
	for (size_t i = 0; i < a->listen_count; i++) {
		if (!addr_equal(&a->listen[i], &b->listen[i]))
			return false;
	}
	return true;
}

static bool registry_endpoint_is_among(const struct endpoint *endpoint, const struct endpoint *endpoints, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (registry_endpoint_is_same(endpoint, &endpoints[i]))
			return true;
	}
	return false;
}

/* Releases the endpoints of LEAVING that STAYING does not have. */
static void registry_endpoints_release_difference(struct registry *registry, const struct endpoint *leaving,
						  size_t leaving_count, const struct endpoint *staying,
						  size_t staying_count)
{
	for (size_t i = 0; i < leaving_count; i++) {
		if (!registry_endpoint_is_among(&leaving[i], staying, staying_count))
			registry_endpoints_release(registry, &leaving[i], 1);
	}
}

/* Carries the endpoints that stay, with addresses and handles, into the new list, and marks them in KEPT. */
static void registry_endpoints_keep(const struct sandbox *sandbox, struct endpoint *wanted, size_t count, bool *kept)
{
	bool used[SPEC_PORTS_MAX] = { false };

	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < sandbox->endpoint_count && !kept[i]; j++) {
			if (used[j] || !registry_spec_port_equal(&wanted[i].port, &sandbox->endpoints[j].port))
				continue;
			wanted[i] = sandbox->endpoints[j];
			used[j] = kept[i] = true;
		}
	}
}

static void registry_unclaim_default(struct registry *registry, const struct sandbox *sandbox)
{
	if (registry->default_holder == sandbox)
		registry->default_holder = registry->default_sandbox;
}

int registry_patch_prepare(struct registry *registry, struct sandbox *sandbox, struct spec *wanted, bool takes_default,
			   struct registry_patch *patch, struct problem *problem)
{
	bool kept[SPEC_PORTS_MAX] = { false };
	struct endpoint_list list = { .count = wanted->port_count, .kept = kept, .prefix = "/publish" };
	struct endpoint *endpoints;

	if (wanted->port_count > SPEC_PORTS_MAX)
		return registry_problem_set(problem, PROBLEM_BAD_REQUEST, "/publish",
					    "a sandbox can publish at most %d ports", SPEC_PORTS_MAX);
	if (registry_endpoints_for(registry, wanted, &endpoints) < 0)
		return registry_problem_no_memory(problem);
	registry_endpoints_keep(sandbox, endpoints, wanted->port_count, kept);
	if (registry_keys_want(registry, sandbox, wanted->name, problem) < 0)
		goto fail;
	if (wanted->is_default && registry_claim_default(registry, sandbox, takes_default, problem) < 0)
		goto fail;
	if (registry_endpoints_hold(registry, sandbox, endpoints, &list, problem) < 0) {
		registry_unclaim_default(registry, sandbox);
		goto fail;
	}
	*patch = (struct registry_patch){
		.sandbox = sandbox,
		.spec = wanted,
		.endpoints = endpoints,
		.endpoint_count = wanted->port_count,
		.default_turn = sandbox->default_turn,
	};
	if (wanted->is_default && registry->default_sandbox && registry->default_sandbox != sandbox)
		patch->default_turn = registry->default_turns + 1;
	return 0;

fail:
	registry_keys_leave(sandbox);
	free(endpoints);
	return -1;
}

void registry_patch_commit(struct registry *registry, struct registry_patch *patch)
{
	struct sandbox *sandbox = patch->sandbox;

	registry_endpoints_release_difference(registry, sandbox->endpoints, sandbox->endpoint_count, patch->endpoints,
					      patch->endpoint_count);
	if (patch->spec->is_default) {
		if (registry->default_sandbox && registry->default_sandbox != sandbox)
			registry->default_sandbox->spec->is_default = false;
		registry->default_sandbox = sandbox;
		registry_set_default_turn(registry, sandbox, patch->default_turn);
	} else if (registry->default_sandbox == sandbox) {
		registry->default_sandbox = NULL;
		registry->default_holder = NULL;
	}
	registry_keys_bind(registry, sandbox, patch->spec->name);
	free(sandbox->endpoints);
	registry_spec_free(sandbox->spec);
	sandbox->endpoints = patch->endpoints;
	sandbox->endpoint_count = patch->endpoint_count;
	sandbox->spec = patch->spec;
	*patch = (struct registry_patch){ 0 };
}

void registry_patch_abort(struct registry *registry, struct registry_patch *patch)
{
	struct sandbox *sandbox = patch->sandbox;

	registry_keys_leave(sandbox);
	registry_endpoints_release_difference(registry, patch->endpoints, patch->endpoint_count, sandbox->endpoints,
					      sandbox->endpoint_count);
	registry_unclaim_default(registry, sandbox);
	free(patch->endpoints);
	registry_spec_free(patch->spec);
	*patch = (struct registry_patch){ 0 };
}

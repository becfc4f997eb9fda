/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as the body of a PATCH to a sandbox. They are refused and change nothing, or the sandbox has the requested ports
 * afterwards. The change can be aborted. Configuration and registry are made once, because their tables cost more than all else.
 */
#include "fuzz_config.h"
#include "registry/problem.h"
#include "wire/wire.h"

static struct config *config;
static struct registry *registry;

static const char body[] = "{\"ports\": [49983, {\"guest_port\": 8080, \"listen\": \"localhost:18080\"},"
			   " {\"guest_port\": 53, \"proto\": \"udp\"}], \"labels\": {\"a\": \"b\"}}";

static struct sandbox *make_sandbox(void)
{
	struct problem problem;
	json_t *json = wire_parse_body(body, strlen(body), &problem);
	struct sandbox *sandbox = registry_add(registry, "a", wire_read_spec(json, config, &problem), &problem);

	fuzz_check(sandbox);
	json_decref(json);
	return sandbox;
}

static void check_endpoints(const struct sandbox *sandbox)
{
	fuzz_check(sandbox->endpoint_count == sandbox->spec->port_count);
	for (size_t i = 0; i < sandbox->endpoint_count; i++) {
		fuzz_check(sandbox->endpoints[i].listen_count > 0);
		fuzz_check(registry_spec_port_equal(&sandbox->endpoints[i].port, &sandbox->spec->ports[i]));
	}
}

/* Consumes WANTED. */
static void check_change(struct sandbox *sandbox, struct spec *wanted)
{
	struct spec *before = registry_spec_copy(sandbox->spec), *again = registry_spec_copy(wanted);
	struct registry_patch patch;
	struct problem problem = { 0 };

	fuzz_check(before && again);
	if (registry_patch_prepare(registry, sandbox, wanted, false, &patch, &problem) == 0) {
		registry_patch_abort(registry, &patch);
		fuzz_check(registry_spec_equal(sandbox->spec, before) &&
			   strcmp(sandbox->spec->name, before->name) == 0);
		fuzz_check(registry_patch_prepare(registry, sandbox, again, false, &patch, &problem) == 0);
		registry_patch_commit(registry, &patch);
		const char *name = registry_sandbox_name(sandbox);
		fuzz_check(!name || registry_lookup(registry, name) == sandbox);
	} else {
		fuzz_check(problem.kind == PROBLEM_CONFLICT || problem.kind == PROBLEM_UNAVAILABLE);
		fuzz_check(registry_spec_equal(sandbox->spec, before) &&
			   strcmp(sandbox->spec->name, before->name) == 0);
		registry_spec_free(wanted);
		registry_spec_free(again);
	}
	check_endpoints(sandbox);
	registry_spec_free(before);
}

static void start(void)
{
	if (registry)
		return;
	config = fuzz_config();
	registry = registry_new(config);
	fuzz_check(registry);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct problem problem = { 0 };
	struct spec_patch patch = { 0 };
	json_t *json = wire_parse_body((const char *)data, size, &problem);

	start();
	if (json) {
		struct sandbox *sandbox = make_sandbox();
		struct spec *wanted = NULL;

		if (wire_read_patch(json, config, &patch, &problem) == 0)
			wanted = registry_spec_patch_apply(sandbox, &patch, &problem);
		if (wanted)
			check_change(sandbox, wanted);
		else
			fuzz_check(problem.kind == PROBLEM_BAD_REQUEST || problem.kind == PROBLEM_CONFLICT);
		registry_spec_patch_clear(&patch);
		registry_remove(registry, sandbox);
	}
	json_decref(json);
	return 0;
}

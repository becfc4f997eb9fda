/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as the body of a registration. They are refused with a reason that fits an answer, or they are a request that can be
 * registered, written and read back as the same.
 */
#include "base/log.h"
#include "config/config.h"
#include "fuzz.h"
#include "registry/problem.h"
#include "wire/wire.h"

#include <string.h>

static void check_problem(const struct problem *problem)
{
	fuzz_check(problem->kind == PROBLEM_BAD_REQUEST || problem->kind == PROBLEM_CONFLICT);
	json_t *json = wire_write_problem(problem);
	fuzz_check(json && json_string_length(json_object_get(json, "detail")) > 0);
	json_decref(json);
}

static void check_round_trip(const struct spec *spec, const struct config *config)
{
	struct problem problem;
	json_t *json = wire_write_spec(spec);
	struct spec *again = json ? wire_read_spec(json, config, &problem) : NULL;

	fuzz_check(again && registry_spec_equal(spec, again) && strcmp(spec->name, again->name) == 0);
	fuzz_check(registry_spec_check(again, config, &problem) == 0);
	json_decref(json);
	registry_spec_free(again);
}

static void check_registration(struct spec *spec, const struct config *config)
{
	struct problem problem = { 0 };
	struct registry *registry = registry_new(config);
	struct sandbox *sandbox = registry_add(registry, "a", spec, &problem);

	if (sandbox) {
		json_t *json = wire_write_sandbox(sandbox, config);

		fuzz_check(json_array_size(json_object_get(json, "endpoints")) == sandbox->endpoint_count);
		json_decref(json);
	} else { /* weftd uses the addresses itself */
		check_problem(&problem);
		registry_spec_free(spec);
	}
	registry_free(registry);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct problem problem = { 0 };
	struct config *config = config_default();
	json_t *json = wire_parse_body((const char *)data, size, &problem);
	struct spec *spec = json ? wire_read_spec(json, config, &problem) : NULL;

	log_setup(LOG_ERROR_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
	if (spec) {
		check_round_trip(spec, config);
		check_registration(spec, config);
	} else {
		check_problem(&problem);
	}
	json_decref(json);
	config_free(config);
	return 0;
}

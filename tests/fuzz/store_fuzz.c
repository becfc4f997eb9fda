/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as a state file. It is damaged, with a reason, or holds a sandbox that can be adopted and is stored as the same.
 */
#include "base/log.h"
#include "config/config.h"
#include "fuzz.h"
#include "registry/problem.h"
#include "store/codec.h"

static void check_again(const struct sandbox *sandbox, const struct config *config)
{
	struct problem problem;
	struct stored stored;
	json_t *json = store_encode(sandbox);
	char *text = json ? json_dumps(json, 0) : NULL;

	fuzz_check(text);
	fuzz_check(store_decode(text, strlen(text), config, &stored, &problem) == 0);
	fuzz_check(strcmp(stored.id, sandbox->id) == 0 && stored.slot == sandbox->slot);
	fuzz_check(registry_spec_equal(stored.spec, sandbox->spec));
	fuzz_check(stored.endpoint_count == sandbox->endpoint_count);
	store_item_clear(&stored);
	free(text);
	json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct problem problem = { 0 };
	struct stored stored;
	struct config *config = config_default();

	log_setup(LOG_ERROR_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
	if (store_decode((const char *)data, size, config, &stored, &problem) == 0) {
		struct registry *registry = registry_new(config);
		struct sandbox *sandbox = registry_adopt(registry, stored.id, stored.slot, NULL, stored.spec,
							 stored.endpoints, stored.endpoint_count, &problem);

		if (sandbox) {
			stored.spec = NULL;
			check_again(sandbox, config);
		} else {
			fuzz_check(problem.kind == PROBLEM_CONFLICT);
		}
		registry_free(registry);
	} else {
		fuzz_check(problem.kind == PROBLEM_BAD_REQUEST && problem.detail[0]);
	}
	store_item_clear(&stored);
	config_free(config);
	return 0;
}

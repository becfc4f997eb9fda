/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as a target; the first byte sets the method. An accepted route has a valid id where its path has one, and a refusal
 * has a reason.
 */
#include "control/target.h"
#include "fuzz.h"
#include "registry/problem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct control_target route;
	struct problem problem = { 0 };

	if (!size)
		return 0;
	char *target = malloc(size);
	fuzz_check(target);
	memcpy(target, data + 1, size - 1);
	enum http_method method = (enum http_method)(data[0] % (HTTP_OTHER + 1));

	if (control_target_parse(method, target, size - 1, &route, &problem) < 0) {
		fuzz_check(problem.kind == PROBLEM_NOT_FOUND || problem.kind == PROBLEM_NOT_ALLOWED ||
			   problem.kind == PROBLEM_BAD_REQUEST);
		fuzz_check(problem.detail[0]);
		if (problem.kind == PROBLEM_NOT_ALLOWED)
			fuzz_check(control_target_allow(&route)[0]);
	} else {
		fuzz_check(!route.id[0] || registry_sandbox_id_is_valid(route.id));
		fuzz_check(!route.sandbox[0] || registry_sandbox_id_is_valid(route.sandbox));
		fuzz_check(route.timeout_s <= CONTROL_TARGET_WAIT_MAX_S && route.drain_s <= CONTROL_TARGET_DRAIN_MAX_S);
		fuzz_check(route.label_count <= CONTROL_TARGET_LABELS_MAX);
	}
	free(target);
	return 0;
}

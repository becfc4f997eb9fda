/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as an id. An accepted id must be safe in a file's name, a path of a request, a log line and a link's alias.
 */
#include "fuzz.h"
#include "registry/registry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *id = fuzz_text(data, size);
	enum sandbox_state state;

	if (registry_sandbox_id_is_valid(id)) {
		fuzz_check(strlen(id) >= 1 && strlen(id) <= SANDBOX_ID_MAX && id[0] != '.' && id[0] != '-');
		fuzz_check(strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
			   strlen(id));
	}
	if (registry_sandbox_state_parse(id, &state) == 0)
		fuzz_check(strcmp(id, registry_sandbox_state_name(state)) == 0);
	free(id);
	return 0;
}

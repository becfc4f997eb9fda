/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as a configuration file. It is refused with at least one mistake, or its values print and read back as the same.
 */
#include "config/config.h"
#include "config/loading.h"
#include "fuzz.h"

/* Prints every option and sets it again, which must change nothing; `workers' never prints as the word for 0. */
static void check_round_trip(struct config *config)
{
	for (size_t i = 0; i < option_count; i++) {
		struct option again = option_table[i];
		char *before = config_option_print(&again, config);

		fuzz_check(before);
		again.initial = before;
		config_option_clear(&again, config);
		fuzz_check(config_option_set_default(&again, config) == 0);
		char *after = config_option_print(&again, config);
		fuzz_check(after && strcmp(before, after) == 0);
		free(before);
		free(after);
	}
}

static void check_names(const struct config *config)
{
	unsigned last = config_slot_max(&config->layout);
	char netns[CONFIG_NAME_SIZE], veth[CONFIG_LINK_SIZE];

	fuzz_check(last >= 1 && last <= CONFIG_SLOT_MAX);
	fuzz_check(config_netns_slot(&config->layout, config_netns_name(&config->layout, last, netns)) == last);
	fuzz_check(config_veth_slot(&config->layout, config_veth_name(&config->layout, last, veth)) == last);
	fuzz_check(addr_cidr4_contains(&config->layout.host_cidr, config_host_ip(&config->layout, last)));
	fuzz_check(addr_cidr4_contains(&config->layout.veth_cidr, config_veth_guest_ip(&config->layout, last)));
	fuzz_check(!addr_cidr4_overlaps(&config->layout.host_cidr, &config->layout.veth_cidr));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_mistakes mistakes = { 0 };
	FILE *stream = size ? fmemopen((void *)data, size, "r") : fopen("/dev/null", "re");

	fuzz_check(stream);
	struct config *config = config_load_stream(stream, "fuzz", NULL, &mistakes);
	fclose(stream);
	fuzz_check((config != NULL) == (mistakes.count == 0));
	for (size_t i = 0; i < mistakes.count; i++) {
		char text[512];

		config_mistake_format(&mistakes, &mistakes.items[i], text, sizeof(text));
		fuzz_check(text[strcspn(text, "\n\033")] == '\0');
	}
	if (config) {
		check_names(config);
		check_round_trip(config);
	}
	config_free(config);
	config_mistakes_clear(&mistakes);
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The walk behind `weftctl diagnose` without a daemon: what weftd mends within milliseconds stays broken here long enough to be
 * looked at. health_walk SLOT [PORT]..., with the defaults, prints "HOP STATUS DETAIL" a line.
 */
#include "base/err.h"
#include "base/netns.h"
#include "config/config.h"
#include "health/diagnose.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	struct diagnose_request request = { .id = "walk", .state = SANDBOX_READY };
	struct diagnose_endpoint endpoints[16] = { 0 };
	struct diagnosis diagnosis;
	struct err err;

	struct config *config = argc > 1 && base_netns_init(&err) == 0 ? config_default() : NULL;
	struct spec *spec = config ? registry_spec_new(config) : NULL;
	if (!spec)
		return EXIT_FAILURE;
	request.config = config;
	request.layout = &request.config->layout;
	request.slot = (unsigned)strtoul(argv[1], NULL, 10);
	request.endpoints = endpoints;
	for (int i = 2; i < argc && request.endpoint_count < 16; i++) {
		endpoints[request.endpoint_count].guest_port = (uint16_t)strtoul(argv[i], NULL, 10);
		endpoints[request.endpoint_count++].open = true;
	}
	struct fabric_plan plan = {
		.slot = request.slot, .id = request.id, .egress = &spec->egress, .bandwidth = &spec->bandwidth
	};
	request.plan = &plan;
	health_diagnose_walk(&request, &diagnosis);
	for (size_t i = 0; i < DIAGNOSIS_HOPS; i++)
		printf("%s %s %s\n", diagnosis.hops[i].name, hop_status_name(diagnosis.hops[i].status),
		       diagnosis.hops[i].detail);
	registry_spec_free(spec);
	config_free(config);
	return EXIT_SUCCESS;
}

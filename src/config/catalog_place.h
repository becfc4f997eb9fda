/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CONFIG_CATALOG_PLACE_H
#define WEFT_CONFIG_CATALOG_PLACE_H

#include <stdbool.h>
#include <stdint.h>

/* Where Redis is: the value of [catalog] redis, read. */
struct config_catalog_place {
	bool is_unix;
	bool is_numeric; /* HOST is an address, and no name is to be looked up */
	char host[254];  /* an IPv6 address without its brackets */
	uint16_t port;
	char path[108];
};

/* Reads HOST:PORT, [IPV6]:PORT or unix:PATH. NULL and PLACE, or the fault in words. */
const char *config_catalog_place_parse(const char *text, struct config_catalog_place *place);

#endif

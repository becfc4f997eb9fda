/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CONFIG_DOOR_URL_H
#define WEFT_CONFIG_DOOR_URL_H

#include <stddef.h>

enum { CONFIG_DOOR_URL_SIZE = 352 };

/*
 * The URL by which a client comes through the door to PORT of the sandbox with ID, whose host label is LABEL: "https://8080-a1.DOMAIN/"
 * where both DOMAIN ([door] domain) and LABEL are given, else "http://localhost:3002/sandbox/a1/8080/", on this host alone. Either may be
 * NULL or "". A DOMAIN under localhost needs no DNS and no certificate: "http://8080-a1.localhost:3002/". Returns TEXT. Pure; any thread.
 */
char *config_door_url(const char *domain, const char *id, const char *label, unsigned port,
		      char text[static CONFIG_DOOR_URL_SIZE]);

#endif

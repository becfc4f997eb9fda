/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The door serves TLS at 443 where it has a certificate, which only a domain can have, and plain HTTP on loopback in any case.
 */
#include "config/door_url.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Browsers and curl take each name under localhost for loopback (RFC 6761, 6.3). */
static bool config_is_local_domain(const char *domain)
{
	static const char local[] = "localhost";
	size_t length = strlen(domain), tail = strlen(local);

	return length >= tail && strcmp(domain + length - tail, local) == 0 &&
	       (length == tail || domain[length - tail - 1] == '.');
}

char *config_door_url(const char *domain, const char *id, const char *label, unsigned port,
		      char text[static CONFIG_DOOR_URL_SIZE])
{
	bool named = domain && *domain && label && *label;

	if (!named)
		snprintf(text, CONFIG_DOOR_URL_SIZE, "http://localhost:3002/sandbox/%s/%u/", id, port);
	else if (config_is_local_domain(domain))
		snprintf(text, CONFIG_DOOR_URL_SIZE, "http://%u-%s.%s:3002/", port, label, domain);
	else
		snprintf(text, CONFIG_DOOR_URL_SIZE, "https://%u-%s.%s/", port, label, domain);
	return text;
}

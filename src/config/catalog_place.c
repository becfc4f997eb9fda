/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The part before the last colon is the host. It may be a name, which is looked up only when weftd connects, so that one that changes
 * its address is followed.
 */
#include "config/catalog_place.h"

#include "base/addr.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define UNIX "unix:"

static const char *config_catalog_place_read_path(const char *path, struct config_catalog_place *place)
{
	if (*path != '/')
		return "the path of the unix socket is not absolute";
	if (strlen(path) >= sizeof(place->path))
		return "the path of the unix socket is longer than 107 characters";
	place->is_unix = true;
	snprintf(place->path, sizeof(place->path), "%s", path);
	return NULL;
}

static bool config_catalog_place_is_name(const char *host)
{
	if (!isalnum((unsigned char)*host))
		return false;
	for (; *host; host++)
		if (!isalnum((unsigned char)*host) && !strchr("-._", *host))
			return false;
	return true;
}

static const char *config_catalog_place_read_host(const char *text, size_t length, struct config_catalog_place *place)
{
	struct in6_addr address;
	bool brackets = length > 2 && text[0] == '[' && text[length - 1] == ']';

	if (brackets) {
		text++;
		length -= 2;
	}
	if (length == 0)
		return "no host before the port";
	if (length >= sizeof(place->host))
		return "the name of the host is longer than 253 characters";
	memcpy(place->host, text, length);
	place->host[length] = '\0';
	place->is_numeric = inet_pton(brackets ? AF_INET6 : AF_INET, place->host, &address) == 1;
	if (brackets && !place->is_numeric)
		return "no IPv6 address in the brackets";
	if (strchr(place->host, ':') && !brackets)
		return "an IPv6 address needs brackets";
	return place->is_numeric || config_catalog_place_is_name(place->host) ? NULL : "not the name of a host";
}

const char *config_catalog_place_parse(const char *text, struct config_catalog_place *place)
{
	const char *colon = strrchr(text, ':');

	*place = (struct config_catalog_place){ 0 };
	if (strstr(text, "://"))
		return "a URL";
	if (strncmp(text, UNIX, sizeof(UNIX) - 1) == 0)
		return config_catalog_place_read_path(text + sizeof(UNIX) - 1, place);
	if (!colon || addr_port_parse(colon + 1, strlen(colon + 1), &place->port) < 0)
		return "no port behind the host";
	return config_catalog_place_read_host(text, (size_t)(colon - text), place);
}

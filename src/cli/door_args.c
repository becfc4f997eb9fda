/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options about the front door: what a person writes is one way, and what the API has is one object.
 */
#include "cli/door_args.h"

#include "base/addr.h"
#include "base/err.h"
#include "cli/args.h"

#include <stdio.h>
#include <string.h>

static const char *cli_door_ways(bool undo)
{
	return undo ? "public, token, closed:P and none:P" : "public, token and closed:P";
}

int cli_door_way(json_t *door, const char *text, bool undo, struct err *err)
{
	const char *colon = strchr(text, ':');
	size_t length = colon ? (size_t)(colon - text) : strlen(text);
	char way[16];
	uint16_t port;

	snprintf(way, sizeof(way), "%.*s", (int)length, text);
	if (length >= sizeof(way) ||
	    !cli_args_is_word_of(undo ? "public token closed none" : "public token closed", way))
		return err_set(err, 0, "--door %s: allowed: %s", text, cli_door_ways(undo));
	if (colon && addr_port_parse(colon + 1, strlen(colon + 1), &port) < 0)
		return err_set(err, 0, "--door %s: '%s' is no port", text, colon + 1);
	if (!colon && (strcmp(way, "closed") == 0 || strcmp(way, "none") == 0))
		return err_set(err, 0, "--door %s: it takes a port: %s:8080", text, way);
	if (!colon)
		json_object_set_new(door, "public", json_boolean(strcmp(way, "public") == 0));
	else if (strcmp(way, "none") == 0)
		json_object_del(json_object_get(door, "ports"), colon + 1);
	else
		json_object_set_new(json_object_get(door, "ports"), colon + 1, json_string(way));
	return 0;
}

void cli_door_token(json_t *door, const char *text)
{
	json_object_set_new(door, "token_sha256", strcmp(text, "none") == 0 ? json_null() : json_string(text));
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_DOOR_ARGS_H
#define WEFT_CLI_DOOR_ARGS_H

/* Options about who may come through the front door, as members of the API's object `door`. */

#include <jansson.h>
#include <stdbool.h>

struct err;

/*
 * Adds TEXT, of --door, to DOOR, which has an object `ports`: "token", for all ports without a way of their own, or "closed:8080". With
 * UNDO "none:8080" takes a port's way back. 0, or -1 with ERR.
 */
int cli_door_way(json_t *door, const char *text, bool undo, struct err *err);

/* The same for --door-token; "none": there is no token. weftd checks the rest. */
void cli_door_token(json_t *door, const char *text);

#endif

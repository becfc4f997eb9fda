/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CONFIG_DOOR_POLICY_H
#define WEFT_CONFIG_DOOR_POLICY_H

/*
 * Who may come to a sandbox through the door: a part of a specification that the forwarder needs too. By value, so that a change never
 * lacks memory.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	DOOR_PORTS_MAX = 64,   /* ports of one sandbox that have a rule of their own */
	DOOR_TOKEN_SIZE = 32,  /* SHA-256 of a token */
	DOOR_FREE_PORT = 49983 /* of envd, which has tokens of its own: none is wanted here */
};

enum door_access {
	DOOR_ACCESS_PUBLIC, /* everybody */
	DOOR_ACCESS_TOKEN,  /* whoever has the token; never for DOOR_FREE_PORT */
	DOOR_ACCESS_CLOSED, /* nobody */
};

struct door_port {
	uint16_t port;
	enum door_access access : 8;
};

struct door_policy {
	bool is_public; /* ports without a rule are open to everybody; else the token is wanted */
	bool has_token;
	uint8_t token_sha256[DOOR_TOKEN_SIZE];
	struct door_port ports[DOOR_PORTS_MAX]; /* by rising port, none twice */
	size_t port_count;
};

#endif

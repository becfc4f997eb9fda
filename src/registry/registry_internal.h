/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_REGISTRY_REGISTRY_INTERNAL_H
#define WEFT_REGISTRY_REGISTRY_INTERNAL_H

/*
 * The inside of the registry, for its own files alone.
 */

#include "config/config.h"
#include "registry/bitmap.h"
#include "registry/ports.h"
#include "registry/registry.h"

enum {
	SLOTS = CONFIG_SLOT_MAX + 1, /* slot 0 is none */
	KEY_BUCKETS = 1 << 15,
};

/* A file cannot hold a higher one, and that of a sandbox with a number that it cannot hold is not read again. */
#define DEFAULT_TURN_MAX ((uint64_t)INT64_MAX)

LIST_HEAD(sandbox_keys, sandbox_key);

struct registry {
	const struct config *config;
	struct registry_watcher watcher;       /* no function: none is set */
	struct sandbox_keys keys[KEY_BUCKETS]; /* by the hash of their text */
	struct registry_ports *ports;
	bool lacks_ipv6_loopback; /* the host has no ::1 */
	struct sandbox *sandboxes[SLOTS];
	uint64_t taken[BITMAP_WORDS(SLOTS)];   /* has a sandbox */
	uint64_t blocked[BITMAP_WORDS(SLOTS)]; /* must not be handed out */
	char *blocked_why[SLOTS];              /* NULL, for lack of memory, is blocked all the same */
	size_t count, blocked_count;
	size_t count_state[SANDBOX_STATES];
	unsigned preferred;              /* slot for the next one; 0: none */
	struct sandbox *default_holder;  /* has the explicit default, or is about to get it */
	struct sandbox *default_sandbox; /* has the explicit default */
	uint64_t default_turns;          /* the highest of all */
};

/* The endpoints that SPEC asks for, closed, automatic ones without addresses; NULL for none. 0, or -1 for lack of memory. */
int registry_endpoints_for(const struct registry *registry, const struct spec *spec, struct endpoint **endpoints);

struct endpoint_list {
	size_t count;
	const bool *kept;   /* marks those that have their addresses already; NULL: none */
	const char *prefix; /* JSON pointer of the list that asked for the others, in their order */
};

/*
 * Holds the addresses of ENDPOINTS that are not kept for SANDBOX; automatic ports without addresses get the lowest free port.
 * All or nothing. 0, or -1 with PROBLEM, whose field is PREFIX/place/listen, or PREFIX/place if no address was named.
 */
int registry_endpoints_hold(struct registry *registry, struct sandbox *sandbox, struct endpoint *endpoints,
			    const struct endpoint_list *list, struct problem *problem);
/* Releases their addresses. */
void registry_endpoints_release(struct registry *registry, const struct endpoint *endpoints, size_t count);

/* A slot for the next sandbox; 0 with PROBLEM (UNAVAILABLE). Forgets the preferred one. */
unsigned registry_choose_slot(struct registry *registry, struct problem *problem);

/* Holds the id of SANDBOX, and NAME ("" for none) as its name. 0, or -1 with PROBLEM (CONFLICT), and then neither. */
int registry_keys_hold(struct registry *registry, struct sandbox *sandbox, const char *name, struct problem *problem);
/* Keeps NAME, which may be "" or what it has already, for SANDBOX until it is bound or left. 0, or -1 with PROBLEM (CONFLICT). */
int registry_keys_want(struct registry *registry, struct sandbox *sandbox, const char *name, struct problem *problem);
/* Gives up the name that was kept. */
void registry_keys_leave(struct sandbox *sandbox);
/* Its name is NAME now, which it has or kept; the former one, unless it is the same, means it no longer. */
void registry_keys_bind(struct registry *registry, struct sandbox *sandbox, const char *name);
/* Releases id and names. */
void registry_keys_release(struct sandbox *sandbox);

/* 0, or -1 with PROBLEM (CONFLICT) if another sandbox has the default and TAKES is false. */
int registry_claim_default(struct registry *registry, struct sandbox *sandbox, bool takes, struct problem *problem);

#endif

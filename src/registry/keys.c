/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ids and names share one table, so a text means at most one sandbox, whichever of the two it is. A sandbox holds up to three texts:
 * its id, its name, and, while a change is prepared, the name that it is to get. The last is found by nobody yet, but no other can
 * take it. A name that is the sandbox's own id needs no key of its own.
 *
 * The keys are members of the sandbox: to enter one needs no memory, so a change that was prepared cannot fail.
 */
#include "registry/registry_internal.h"

#include "registry/problem.h"

#include <string.h>

enum { HOST_LABEL_MAX = 63 - sizeof("65535-") + 1 };

/* FNV-1a. */
static struct sandbox_keys *registry_keys_bucket(struct registry *registry, const char *text)
{
	uint32_t hash = 2166136261U;

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 16777619U;
	return &registry->keys[(hash ^ hash >> 15) % KEY_BUCKETS];
}

static struct sandbox_key *registry_keys_find(struct registry *registry, const char *text)
{
	struct sandbox_key *key;

	LIST_FOREACH(key, registry_keys_bucket(registry, text), next)
	{
		if (strcmp(key->text, text) == 0)
			return key;
	}
	return NULL;
}

static void registry_keys_enter(struct registry *registry, struct sandbox_key *key, struct sandbox *sandbox,
				const char *text)
{
	*key = (struct sandbox_key){ .sandbox = sandbox, .text = text };
	LIST_INSERT_HEAD(registry_keys_bucket(registry, text), key, next);
}

static void registry_keys_remove(struct sandbox_key *key)
{
	if (!key->sandbox)
		return;
	LIST_REMOVE(key, next);
	*key = (struct sandbox_key){ 0 };
}

static bool registry_keys_is_id(const struct sandbox_key *key)
{
	return key == &key->sandbox->id_key;
}

static int registry_keys_refuse_name(const struct sandbox_key *holder, const char *name, struct problem *problem)
{
	const struct sandbox *sandbox = holder->sandbox;

	if (registry_keys_is_id(holder))
		return registry_problem_set(problem, PROBLEM_CONFLICT, "/name", "%s is the id of a sandbox", name);
	return registry_problem_set(problem, PROBLEM_CONFLICT, "/name",
				    "sandbox %s, which is %s, has the name %s already", sandbox->id,
				    registry_sandbox_state_name(sandbox->state), name);
}

int registry_keys_hold(struct registry *registry, struct sandbox *sandbox, const char *name, struct problem *problem)
{
	const struct sandbox_key *holder = registry_keys_find(registry, sandbox->id);

	if (holder)
		return registry_problem_set(problem, PROBLEM_CONFLICT, "id", "%s is the name of sandbox %s",
					    sandbox->id, holder->sandbox->id);
	registry_keys_enter(registry, &sandbox->id_key, sandbox, sandbox->id);
	if (registry_keys_want(registry, sandbox, name, problem) < 0) {
		registry_keys_remove(&sandbox->id_key);
		return -1;
	}
	registry_keys_bind(registry, sandbox, name);
	return 0;
}

int registry_keys_want(struct registry *registry, struct sandbox *sandbox, const char *name, struct problem *problem)
{
	const struct sandbox_key *holder = *name ? registry_keys_find(registry, name) : NULL;

	if (holder && holder->sandbox != sandbox)
		return registry_keys_refuse_name(holder, name, problem);
	if (*name && !holder)
		registry_keys_enter(registry, &sandbox->wanted_key, sandbox, name);
	return 0;
}

void registry_keys_leave(struct sandbox *sandbox)
{
	registry_keys_remove(&sandbox->wanted_key);
}

void registry_keys_bind(struct registry *registry, struct sandbox *sandbox, const char *name)
{
	registry_keys_remove(&sandbox->wanted_key);
	registry_keys_remove(&sandbox->name_key);
	if (*name && strcmp(name, sandbox->id) != 0)
		registry_keys_enter(registry, &sandbox->name_key, sandbox, name);
}

void registry_keys_release(struct sandbox *sandbox)
{
	registry_keys_remove(&sandbox->wanted_key);
	registry_keys_remove(&sandbox->name_key);
	registry_keys_remove(&sandbox->id_key);
}

struct sandbox *registry_find(struct registry *registry, const char *id)
{
	struct sandbox_key *key = registry_keys_find(registry, id);

	return key && registry_keys_is_id(key) ? key->sandbox : NULL;
}

struct sandbox *registry_lookup(struct registry *registry, const char *text)
{
	struct sandbox_key *key = registry_keys_find(registry, text);

	return key && key != &key->sandbox->wanted_key ? key->sandbox : NULL;
}

void registry_drop_name(struct registry *registry, struct sandbox *sandbox)
{
	registry_keys_bind(registry, sandbox, "");
	sandbox->spec->name[0] = '\0';
}

const char *registry_sandbox_host_label(const struct sandbox *sandbox)
{
	const char *name = sandbox->spec->name[0] ? sandbox->spec->name : sandbox->id;

	return strlen(name) <= HOST_LABEL_MAX && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789") == strlen(name)
		   ? name
		   : NULL;
}

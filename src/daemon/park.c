/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One change of a sandbox at a time. A request that comes while another is under way is parked with all it carries, and goes
 * through the front door again when the sandbox has come to rest: by then it may be there or not, and is answered accordingly.
 */
#include "daemon/daemon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum parked_kind {
	PARKED_REGISTER,
	PARKED_UNREGISTER,
	PARKED_PATCH,
};

struct parked {
	STAILQ_ENTRY(parked) next;
	enum parked_kind kind;
	char id[SANDBOX_ID_MAX + 1];
	struct reply *reply;
	struct spec *spec;       /* PARKED_REGISTER */
	bool drain;              /* PARKED_UNREGISTER */
	unsigned drain_ms;       /* PARKED_UNREGISTER */
	struct wire_patch patch; /* PARKED_PATCH */
};

static struct parked *park(struct daemon *daemon, enum parked_kind kind, const char *id, struct reply *reply)
{
	struct parked *parked = calloc(1, sizeof(*parked));
	struct problem problem;

	if (!parked) {
		problem_set(&problem, PROBLEM_UNAVAILABLE, NULL,
			    "out of memory while another change of %s is under way", id);
		reply_problem(reply, &problem);
		return NULL;
	}
	parked->kind = kind;
	snprintf(parked->id, sizeof(parked->id), "%s", id);
	parked->reply = reply;
	STAILQ_INSERT_TAIL(&daemon->parked, parked, next);
	return parked;
}

void park_register(struct daemon *daemon, const char *id, struct spec *spec, struct reply *reply)
{
	struct parked *parked = park(daemon, PARKED_REGISTER, id, reply);

	if (parked)
		parked->spec = spec;
	else
		spec_free(spec);
}

void park_unregister(struct daemon *daemon, const char *id, bool drain, unsigned drain_ms, struct reply *reply)
{
	struct parked *parked = park(daemon, PARKED_UNREGISTER, id, reply);

	if (!parked)
		return;
	parked->drain = drain;
	parked->drain_ms = drain_ms;
}

void park_patch(struct daemon *daemon, const char *id, struct wire_patch *patch, struct reply *reply)
{
	struct parked *parked = park(daemon, PARKED_PATCH, id, reply);

	if (!parked)
		return;
	parked->patch = *patch;
	*patch = (struct wire_patch){ 0 };
}

static void answer_gone(struct parked *parked)
{
	struct problem problem;

	problem_set(&problem, PROBLEM_NOT_FOUND, "id", "there is no sandbox %s", parked->id);
	reply_problem(parked->reply, &problem);
}

static void go_on(struct daemon *daemon, struct parked *parked)
{
	struct sandbox *sandbox = registry_find(daemon->registry, parked->id);

	switch (parked->kind) {
	case PARKED_REGISTER:
		daemon_register(daemon, parked->id, parked->spec, parked->reply);
		break;
	case PARKED_UNREGISTER:
		if (sandbox)
			daemon_unregister(daemon, sandbox, parked->drain, parked->drain_ms, parked->reply);
		else
			answer_gone(parked);
		break;
	case PARKED_PATCH:
		if (sandbox)
			daemon_patch(daemon, sandbox, &parked->patch, parked->reply);
		else
			answer_gone(parked);
		wire_patch_clear(&parked->patch);
		break;
	}
	free(parked);
}

void unpark(struct daemon *daemon, const char *id)
{
	struct parked_list theirs = STAILQ_HEAD_INITIALIZER(theirs), others = STAILQ_HEAD_INITIALIZER(others);
	struct parked *parked;

	/* Whoever is parked anew meanwhile goes behind the others; so take ours out first. */
	while ((parked = STAILQ_FIRST(&daemon->parked))) {
		STAILQ_REMOVE_HEAD(&daemon->parked, next);
		if (strcmp(parked->id, id) == 0)
			STAILQ_INSERT_TAIL(&theirs, parked, next);
		else
			STAILQ_INSERT_TAIL(&others, parked, next);
	}
	STAILQ_CONCAT(&daemon->parked, &others);
	while ((parked = STAILQ_FIRST(&theirs))) {
		STAILQ_REMOVE_HEAD(&theirs, next);
		go_on(daemon, parked);
	}
}

void unpark_all(struct daemon *daemon)
{
	struct parked *parked;
	struct problem problem;

	problem_set(&problem, PROBLEM_UNAVAILABLE, NULL, "weftd is stopping");
	while ((parked = STAILQ_FIRST(&daemon->parked))) {
		STAILQ_REMOVE_HEAD(&daemon->parked, next);
		reply_problem(parked->reply, &problem);
		spec_free(parked->spec);
		wire_patch_clear(&parked->patch);
		free(parked);
	}
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The troubles that are to be tried again stand in one queue, and the patrol's tick counts their seconds down. So trying again
 * needs neither memory nor a timer of its own, for the trouble may be that there is no memory.
 */
#include "fabric/trouble.h"

#include "base/backoff.h"
#include "base/err.h"
#include "fabric/slot/work.h"
#include "fabric/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAUSE_MIN = 1, PAUSE_MAX = 30 }; /* ticks of the patrol */

struct troubles {
	TAILQ_HEAD(trouble_queue, trouble) waiting;
	struct trouble host[TROUBLE_KINDS];
	size_t reported; /* and not over */
};

const char *fabric_trouble_tables(unsigned slot)
{
	return slot ? "tables inet weft, netdev weft" : "table inet weft";
}

static const char *fabric_trouble_what(const struct trouble *trouble)
{
	if (trouble->what[0])
		return trouble->what;
	switch (trouble->kind) {
	case TROUBLE_LOOK:
		return "look";
	case TROUBLE_LINKS:
		return trouble->slot ? "links" : "unreachable routes";
	case TROUBLE_ROUTE:
		return SLOT_ROUTE_NAME;
	case TROUBLE_RULES:
		return fabric_trouble_tables(trouble->slot);
	case TROUBLE_KINDS:
		break;
	}
	return "";
}

static void fabric_trouble_report(struct fabric *fabric, const struct trouble *trouble, const struct err *err,
				  const struct fabric_rival *rival)
{
	const struct fabric_watcher *watcher = &fabric->watcher;
	const struct fabric_repair report = {
		.slot = trouble->slot,
		.what = fabric_trouble_what(trouble),
		.ok = !err && !rival,
		.error = err ? err->text : NULL,
		.by = rival,
	};

	watcher->repair(watcher->context, &report);
}

void fabric_report_repair(const struct fabric *fabric, unsigned slot, const char *what)
{
	const struct fabric_watcher *watcher = &fabric->watcher;
	const struct fabric_repair report = { .slot = slot, .what = what, .ok = true, .changed = true };

	watcher->repair(watcher->context, &report);
}

static void fabric_trouble_wait(struct fabric *fabric, struct trouble *trouble)
{
	if (trouble->waits)
		return;
	if (!trouble->ahead) {
		trouble->hurries = 0;
		trouble->pause = (uint8_t)base_backoff_next(trouble->pause, PAUSE_MIN, PAUSE_MAX);
	}
	trouble->ahead = false;
	trouble->left = trouble->pause;
	trouble->waits = true;
	TAILQ_INSERT_TAIL(&fabric->troubles->waiting, trouble, next);
}

static void fabric_trouble_stop_waiting(struct fabric *fabric, struct trouble *trouble)
{
	if (trouble->waits)
		TAILQ_REMOVE(&fabric->troubles->waiting, trouble, next);
	trouble->waits = false;
}

static void fabric_trouble_start(struct fabric *fabric, struct trouble *trouble, const struct err *err,
				 const struct fabric_rival *rival)
{
	fabric_trouble_wait(fabric, trouble);
	if (trouble->reported)
		return;
	trouble->reported = true;
	fabric->troubles->reported++;
	fabric_trouble_report(fabric, trouble, err, rival);
}

static void fabric_trouble_finish(struct fabric *fabric, struct trouble *trouble)
{
	fabric_trouble_stop_waiting(fabric, trouble);
	trouble->pause = 0;
	trouble->ahead = false;
	if (!trouble->reported)
		return;
	trouble->reported = false;
	fabric->troubles->reported--;
	fabric_trouble_report(fabric, trouble, NULL, NULL);
}

void fabric_trouble_init(struct slot *slot)
{
	for (int kind = 0; kind < TROUBLE_KINDS; kind++)
		slot->troubles[kind] = (struct trouble){ .slot = slot->number, .kind = (enum trouble_kind)kind };
}

static void fabric_trouble_meet(struct fabric *fabric, const struct err *err)
{
	if (err_is_shortage(err))
		fabric->met_shortage(fabric);
}

void fabric_trouble_begin(struct slot *slot, enum trouble_kind kind, const struct err *err)
{
	fabric_trouble_meet(slot->fabric, err);
	/* Of a slot without a sandbox nobody is told. */
	if (fabric_slot_is_live(slot))
		fabric_trouble_start(slot->fabric, &slot->troubles[kind], err, NULL);
	else
		fabric_trouble_wait(slot->fabric, &slot->troubles[kind]);
}

static void fabric_trouble_start_rival(struct fabric *fabric, struct trouble *trouble, const struct fabric_rival *rival)
{
	/* Another route of ours than was reported. */
	if (strcmp(trouble->what, rival->what) != 0)
		fabric_trouble_finish(fabric, trouble);
	snprintf(trouble->what, sizeof(trouble->what), "%s", rival->what);
	fabric_trouble_start(fabric, trouble, NULL, rival);
}

void fabric_trouble_begin_rival(struct slot *slot, const struct fabric_rival *rival)
{
	fabric_trouble_start_rival(slot->fabric, &slot->troubles[TROUBLE_ROUTE], rival);
}

void fabric_trouble_begin_host_rival(struct fabric *fabric, const struct fabric_rival *rival)
{
	fabric_trouble_start_rival(fabric, &fabric->troubles->host[TROUBLE_ROUTE], rival);
}

void fabric_trouble_look_again(struct slot *slot)
{
	fabric_trouble_wait(slot->fabric, &slot->troubles[TROUBLE_LOOK]);
}

void fabric_trouble_end(struct slot *slot, enum trouble_kind kind)
{
	fabric_trouble_finish(slot->fabric, &slot->troubles[kind]);
}

void fabric_trouble_drop(struct slot *slot)
{
	for (int kind = 0; kind < TROUBLE_KINDS; kind++) {
		fabric_trouble_stop_waiting(slot->fabric, &slot->troubles[kind]);
		slot->fabric->troubles->reported -= slot->troubles[kind].reported;
	}
	fabric_trouble_init(slot);
	slot->fought_over = false;
	slot->repairs_lately = 0;
}

void fabric_trouble_begin_host(struct fabric *fabric, enum trouble_kind kind, const struct err *err)
{
	fabric_trouble_meet(fabric, err);
	fabric_trouble_start(fabric, &fabric->troubles->host[kind], err, NULL);
}

void fabric_trouble_end_host(struct fabric *fabric, enum trouble_kind kind)
{
	fabric_trouble_finish(fabric, &fabric->troubles->host[kind]);
}

void fabric_trouble_tick(struct fabric *fabric)
{
	struct trouble *trouble;

	TAILQ_FOREACH(trouble, &fabric->troubles->waiting, next)
	{
		if (trouble->left)
			trouble->left--;
	}
}

void fabric_troubles_hurry(struct fabric *fabric)
{
	struct trouble *trouble;

	TAILQ_FOREACH(trouble, &fabric->troubles->waiting, next)
	{
		if (!trouble->left || trouble->hurries == FABRIC_HURRIES_MAX)
			continue;
		trouble->hurries++;
		trouble->ahead = true;
		trouble->left = 0;
	}
}

struct trouble *fabric_trouble_take_due(struct fabric *fabric)
{
	struct trouble *trouble;

	TAILQ_FOREACH(trouble, &fabric->troubles->waiting, next)
	{
		if (trouble->left)
			continue;
		fabric_trouble_stop_waiting(fabric, trouble);
		return trouble;
	}
	return NULL;
}

size_t fabric_troubles(const struct fabric *fabric)
{
	return fabric->troubles->reported;
}

void fabric_slot_fail(struct slot *slot, enum failure failure, const char *why)
{
	if (!fabric_slot_is_live(slot))
		return;
	if (!registry_failure_is_final(failure))
		fabric_trouble_wait(slot->fabric, &slot->troubles[TROUBLE_LINKS]);
	if (slot->failure == failure || registry_failure_is_final(slot->failure))
		return;
	slot->failure = failure;
	if (slot->phase == SLOT_LIVE)
		slot_become(slot, SLOT_FAILED, why);
	else
		slot->fabric->watcher.failed(slot->fabric->watcher.context, slot->number, failure, why);
}

void fabric_slot_recover(struct slot *slot)
{
	if (slot->phase != SLOT_FAILED || registry_failure_is_final(slot->failure))
		return;
	slot->failure = FAILURE_NONE;
	slot_become(slot, SLOT_LIVE, "recovered");
}

struct troubles *fabric_troubles_new(struct err *err)
{
	struct troubles *troubles = calloc(1, sizeof(*troubles));

	if (!troubles) {
		err_set(err, ENOMEM, "troubles");
		return NULL;
	}
	TAILQ_INIT(&troubles->waiting);
	for (int kind = 0; kind < TROUBLE_KINDS; kind++)
		troubles->host[kind].kind = (enum trouble_kind)kind;
	return troubles;
}

void fabric_troubles_free(struct troubles *troubles)
{
	free(troubles);
}

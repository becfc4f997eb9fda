/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_TESTS_UNIT_FABRIC_FABRIC_FIXTURE_H
#define WEFT_TESTS_UNIT_FABRIC_FABRIC_FIXTURE_H

/*
 * A host of the test's own: a fresh network and mount namespace, with the loop, the configuration and the fabric, and the reports
 * of the watcher and of completions. Needs root; without it a program of tests skips itself as a whole.
 */

#include "base/err.h"
#include "config/config.h"
#include "fabric/fabric.h"

#include <check.h>
#include <stdbool.h>

enum { TIMEOUT_MS = 30000, SLOTS_SEEN = 4097 };

/* The reports about one slot. */
struct seen {
	unsigned carrier_up, carrier_down, failed, recovered, repaired, slot_going, slot_free, foreign, denied;
	unsigned troubled, over; /* troubles that were reported, and their ends */
	bool carrier;
	enum failure failure;
	char what[160];    /* of the last failed, repaired or foreign */
	char trouble[320]; /* what, and why */
};

struct host {
	struct event_base *base;
	struct config *config;
	struct fabric *fabric;
	struct seen seen[SLOTS_SEEN]; /* 0: the host's */
	unsigned pool_changes;
};

extern struct host host;

/* Runs SUITE: exit status for main(); 77, which automake takes for a skip, where the caller is not root. */
int fixture_run(Suite *suite);

/* A private host without and with a fabric: checked fixtures. */
void fixture_setup_host(void);
void fixture_setup(void);
void fixture_teardown(void);

/* A new fabric on the same host, as after a restart of the daemon. */
void fixture_start_fabric(void);
void fixture_stop_fabric(void);

/* The report of a completion. Zero it, and give it as context. */
struct result {
	bool done, failed;
	struct fabric_slot slot;
	struct err err;
};
fabric_slot_done fixture_slot_done;
fabric_done fixture_done;

/* Runs the loop until *FLAG; fails the test after TIMEOUT_MS. */
void fixture_await(const bool *flag);
/* Runs the loop until CONDITION holds; WHAT names it. */
void fixture_await_that(bool (*condition)(void *context), void *context, const char *what);
/* Runs the loop for the events that are ready now. */
void fixture_iterate(void);

struct fabric_plan fixture_plan(unsigned slot, const char *id);
/* Makes the slot, or the test fails. */
struct fabric_slot fixture_make(unsigned slot, const char *id);
/* Closes the namespace and destroys the slot, or the test fails. */
void fixture_destroy(struct fabric_slot *slot);

/* A list of all that could be left behind: links, addresses, routes, neighbours, names, mounts, descriptors. malloc()ed. */
char *fixture_world(void);
/* Fails unless the world is as WORLD says within TIMEOUT_MS. Frees WORLD. */
void fixture_expect_world(char *world);

/* Output of a shell command. malloc()ed. Fails the test if the command fails. */
char *fixture_shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Whether the output of the command contains TEXT. Fails the test if the command fails. */
bool fixture_shell_says(const char *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Opens the TAP of a slot as a VMM does: its descriptor. */
int fixture_open_tap(const struct fabric_slot *slot);

#endif

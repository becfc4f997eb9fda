/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HEALTH_FINDINGS_H
#define WEFT_HEALTH_FINDINGS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The findings of the checks of a host.
 */

enum health_status {
	HEALTH_OK,
	HEALTH_WARN,    /* works, but deserves a look */
	HEALTH_FAIL,    /* breaks sandboxes, or their clients */
	HEALTH_SKIPPED, /* not visible from a namespace, or without privileges */
};

struct health_finding {
	const char *check; /* one word */
	enum health_status status;
	bool ends_start;  /* weftd would not start with it */
	char detail[400]; /* the finding */
	char why[400];    /* why it matters; "" for OK */
	char fix[400];    /* the command or the change that repairs it; "" where there is none */
};

struct health_report {
	struct health_finding *findings;
	size_t count, room;
	bool incomplete;            /* there was no memory for a finding */
	struct health_finding lost; /* the last of those */
};

/* "ok", "warn", "fail", "skipped" */
const char *health_status_name(enum health_status status);

/* The worst of all: FAIL, else WARN, else OK. FAIL also where one is missing. */
enum health_status health_report_worst(const struct health_report *report);

/* Adds one. Returns it, for health_why() and health_fix(): never NULL; without memory the report is incomplete from then on. */
struct health_finding *health_add(struct health_report *report, const char *check, enum health_status status,
				  const char *format, ...) __attribute__((format(printf, 4, 5)));
void health_why(struct health_finding *finding, const char *format, ...) __attribute__((format(printf, 2, 3)));
void health_fix(struct health_finding *finding, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Marks it as a fault with which weftd does not start, whether it runs now or not. */
void health_ends_start(struct health_finding *finding);

void health_report_clear(struct health_report *report);

#endif

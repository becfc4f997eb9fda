/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The findings are kept in the order of the checks.
 */
#include "health/findings.h"

#include "base/vec.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *health_status_name(enum health_status status)
{
	switch (status) {
	case HEALTH_OK:
		return "ok";
	case HEALTH_WARN:
		return "warn";
	case HEALTH_FAIL:
		return "fail";
	case HEALTH_SKIPPED:
		return "skipped";
	}
	return "?";
}

enum health_status health_report_worst(const struct health_report *report)
{
	enum health_status worst = report->incomplete ? HEALTH_FAIL : HEALTH_OK;

	for (size_t i = 0; i < report->count; i++) {
		enum health_status status = report->findings[i].status;
		if (status != HEALTH_SKIPPED && status > worst)
			worst = status;
	}
	return worst;
}

struct health_finding *health_add(struct health_report *report, const char *check, enum health_status status,
				  const char *format, ...)
{
	struct health_finding *finding = &report->lost, *grown = report->findings;
	va_list args;

	if (report->count == report->room)
		grown = vec_grown(grown, &report->room, report->count + 1, sizeof(*grown));
	if (grown) {
		report->findings = grown;
		finding = &grown[report->count++];
	} else {
		report->incomplete = true;
	}
	*finding = (struct health_finding){ .check = check, .status = status };
	va_start(args, format);
	vsnprintf(finding->detail, sizeof(finding->detail), format, args);
	va_end(args);
	return finding;
}

void health_ends_start(struct health_finding *finding)
{
	finding->ends_start = true;
}

void health_why(struct health_finding *finding, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(finding->why, sizeof(finding->why), format, args);
	va_end(args);
}

void health_fix(struct health_finding *finding, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(finding->fix, sizeof(finding->fix), format, args);
	va_end(args);
}

void health_report_clear(struct health_report *report)
{
	free(report->findings);
	*report = (struct health_report){ 0 };
}

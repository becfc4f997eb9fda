/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A problem is filled where the fault is found and answered at the top; no code in between looks inside.
 */
#include "registry/problem.h"

#include <stdarg.h>
#include <stdio.h>

int registry_problem_set(struct problem *problem, enum problem_kind kind, const char *field, const char *format, ...)
{
	va_list args;

	problem->kind = kind;
	problem->retry_after_s = 0;
	snprintf(problem->field, sizeof(problem->field), "%s", field ? field : "");
	va_start(args, format);
	vsnprintf(problem->detail, sizeof(problem->detail), format, args);
	va_end(args);
	return -1;
}

int registry_problem_stopping(struct problem *problem, const char *detail)
{
	enum { NEXT_RUN_S = 1 };

	registry_problem_set(problem, PROBLEM_UNAVAILABLE, NULL, "%s", detail);
	problem->retry_after_s = NEXT_RUN_S;
	return -1;
}

int registry_problem_no_memory(struct problem *problem)
{
	return registry_problem_set(problem, PROBLEM_UNAVAILABLE, NULL, "out of memory");
}

const char *registry_problem_title(enum problem_kind kind)
{
	switch (kind) {
	case PROBLEM_NONE:
		return "OK";
	case PROBLEM_BAD_REQUEST:
		return "Bad Request";
	case PROBLEM_NOT_FOUND:
		return "Not Found";
	case PROBLEM_NOT_ALLOWED:
		return "Method Not Allowed";
	case PROBLEM_TIMEOUT:
		return "Request Timeout";
	case PROBLEM_CONFLICT:
		return "Conflict";
	case PROBLEM_GONE:
		return "Gone";
	case PROBLEM_TOO_LARGE:
		return "Content Too Large";
	case PROBLEM_TOO_MANY:
		return "Too Many Requests";
	case PROBLEM_INTERNAL:
		return "Internal Server Error";
	case PROBLEM_UNAVAILABLE:
		return "Service Unavailable";
	}
	return "Unknown";
}

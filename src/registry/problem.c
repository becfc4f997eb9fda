/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A refusal, filled where it is found and answered at the top; nothing in between looks inside.
 */
#include "registry/problem.h"

#include <stdarg.h>
#include <stdio.h>

int problem_set(struct problem *problem, enum problem_kind kind, const char *field, const char *format, ...)
{
	va_list args;

	problem->kind = kind;
	snprintf(problem->field, sizeof(problem->field), "%s", field ? field : "");
	va_start(args, format);
	vsnprintf(problem->detail, sizeof(problem->detail), format, args);
	va_end(args);
	return -1;
}

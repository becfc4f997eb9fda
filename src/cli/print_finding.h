/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_PRINT_FINDING_H
#define WEFT_CLI_PRINT_FINDING_H

/* The findings of checks, for people and for programs. */

#include "cli/print_table.h"
#include "health/findings.h"

#include <jansson.h>

/* A line for each finding of REPORT, with the check's name in WIDTH columns, and lines for why and fix. */
void cli_finding_print_all(const struct screen *screen, const struct health_report *report, int width);

/* [{"check", "status", "detail", "why", "fix"}, ...]. The caller json_decref()s. */
json_t *cli_finding_list(const struct health_report *report);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_VALUE_ARGS_H
#define WEFT_CLI_VALUE_ARGS_H

#include <jansson.h>
#include <stdbool.h>

struct err;

/* Values of options as they are written on a command line. WHAT names the option in errors. All: 0, or -1 with ERR. */

/* "K=V" into the object LABELS; a label that is there is replaced. */
int cli_value_label(const char *what, const char *text, json_t *labels, struct err *err);

/* A sandbox's name, or "", into BODY. */
int cli_value_name(const char *what, const char *text, json_t *body, struct err *err);

/* "500ms", "30s", "5m", "2h" in milliseconds, or "none", which is 0. */
int cli_value_duration(const char *what, const char *text, json_int_t *ms, struct err *err);

/* "12500000", "512K", "12M" or "1G" in bytes, or "none", which is 0. It ends at LENGTH. */
int cli_value_size(const char *what, const char *text, size_t length, json_int_t *bytes, struct err *err);

/* "12M" or "12M,1M" as a rate of the API, {"rate": ..., "burst": ...}. NULL with ERR; the caller json_decref()s. */
json_t *cli_value_rate(const char *what, const char *text, struct err *err);

/* Whether TEXT begins with an IPv6 address: "::1", "[::1]:80", "2001:db8::/32". */
bool cli_value_is_ipv6(const char *text);

#endif

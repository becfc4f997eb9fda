/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The units are those of weftd.conf(5). Limits are the daemon's to know; here a number must only be one.
 */
#include "cli/value_args.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "cli/ids.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct value_unit {
	const char *name;
	json_int_t factor;
};

static const struct value_unit duration_units[] = {
	{ "ms", 1 }, { "s", 1000 }, { "m", 60 * 1000 }, { "h", 3600 * 1000 }, { 0 }
};
static const struct value_unit size_units[] = {
	{ "", 1 }, { "K", 1 << 10 }, { "M", 1 << 20 }, { "G", 1 << 30 }, { 0 }
};

enum { VALUE_DIGITS_MAX = 12 }; /* so that no factor overflows the number */

int cli_value_label(const char *what, const char *text, json_t *labels, struct err *err)
{
	const char *equals = strchr(text, '=');

	if (!equals || equals == text)
		return err_set(err, 0, "%s %s: not K=V", what, text);
	AUTO_FREE char *key = strndup(text, (size_t)(equals - text));
	if (json_object_set_new(labels, key, json_string(equals + 1)) < 0)
		return err_set(err, 0, "%s %s: not UTF-8", what, text);
	return 0;
}

int cli_value_name(const char *what, const char *text, json_t *body, struct err *err)
{
	if (*text && !cli_ids_is_valid(text))
		return err_set(err, 0, "%s '%s': a name has the form of an id", what, text);
	json_object_set_new(body, "name", json_string(text));
	return 0;
}

/* A whole number with one of UNITS behind it, which ends at LENGTH. */
static bool cli_value_read(const char *text, size_t length, const struct value_unit *units, json_int_t *value)
{
	size_t digits = strspn(text, "0123456789");

	if (length == strlen("none") && strncmp(text, "none", length) == 0) {
		*value = 0;
		return true;
	}
	if (!digits || digits > VALUE_DIGITS_MAX || digits > length)
		return false;
	for (; units->name; units++) {
		if (strlen(units->name) == length - digits &&
		    strncmp(text + digits, units->name, length - digits) == 0) {
			*value = strtoll(text, NULL, 10) * units->factor;
			return true;
		}
	}
	return false;
}

int cli_value_duration(const char *what, const char *text, json_int_t *ms, struct err *err)
{
	return cli_value_read(text, strlen(text), duration_units, ms)
		   ? 0
		   : err_set(err, 0, "%s: '%s' is no time, as 500ms, 30s, 5m, 2h or none", what, text);
}

int cli_value_size(const char *what, const char *text, size_t length, json_int_t *bytes, struct err *err)
{
	return cli_value_read(text, length, size_units, bytes)
		   ? 0
		   : err_set(err, 0, "%s: '%.*s' is no number of bytes, as 65536, 512K, 12M, 1G or none", what,
			     (int)length, text);
}

json_t *cli_value_rate(const char *what, const char *text, struct err *err)
{
	const char *comma = strchr(text, ',');
	json_int_t rate = 0, burst = 0;

	if (cli_value_size(what, text, comma ? (size_t)(comma - text) : strlen(text), &rate, err) < 0)
		return NULL;
	if (!comma)
		return json_pack("{s:I}", "rate", rate);
	if (cli_value_size(what, comma + 1, strlen(comma + 1), &burst, err) < 0)
		return NULL;
	return json_pack("{s:I, s:I}", "rate", rate, "burst", burst);
}

bool cli_value_is_ipv6(const char *text)
{
	struct in6_addr ignored;

	text += *text == '[';
	AUTO_FREE char *address = strndup(text, strcspn(text, "]/"));
	if (!address)
		abort();
	return inet_pton(AF_INET6, address, &ignored) == 1;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What wakes a sandbox is one word or a list on a command line, and two times. weftd checks how the ports go together.
 */
#include "cli/wake_args.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "cli/args.h"
#include "cli/port_args.h"
#include "cli/value_args.h"

#include <stdlib.h>
#include <string.h>

static const struct {
	const char *option, *field;
	json_int_t least, most; /* ms */
	const char *range;      /* as people write it */
} wake_times[] = {
	{ "min-awake", "min_awake_ms", 0, 3600000, "at most 1h" },
	{ "wake-timeout", "timeout_ms", 1000, 3600000, "from 1s to 1h" },
};

enum { WAKE_TIMES = sizeof(wake_times) / sizeof(wake_times[0]) };

#define IDLE_REPORT_MAX_MS 604800000

bool cli_wake_is_given(const struct args *args)
{
	bool given = cli_args_has(args, "wake");

	for (size_t i = 0; i < WAKE_TIMES; i++)
		given |= cli_args_has(args, wake_times[i].option);
	return given;
}

/* "8080,5353/udp" as a list, or a word as it is. NULL with ERR. */
static json_t *cli_wake_ports(const char *text, struct err *err)
{
	AUTO_FREE char *copy = strdup(text);
	char *rest = copy;
	json_t *ports;

	if (!copy)
		abort();
	if (cli_args_is_word_of("any published", text))
		return json_string(text);
	ports = json_array();
	for (const char *one = strsep(&rest, ","); one; one = strsep(&rest, ",")) {
		json_t *port = cli_port_of_guest("--wake", one, err);
		if (!port) {
			json_decref(ports);
			return NULL;
		}
		json_array_append_new(ports, port);
	}
	return ports;
}

/* The numbers of FORMER, if that is an object. */
static json_t *cli_wake_copy(const json_t *former)
{
	json_t *wake = json_is_object(former) ? json_deep_copy(former) : json_object();

	json_object_del(wake, "asked_at");
	json_object_del(wake, "by");
	return wake;
}

static int cli_wake_add_times(json_t *wake, const struct args *args, struct err *err)
{
	for (size_t i = 0; i < WAKE_TIMES; i++) {
		const char *text = cli_args_value(args, wake_times[i].option);
		char what[32];
		json_int_t ms;

		if (!text)
			continue;
		snprintf(what, sizeof(what), "--%s", wake_times[i].option);
		if (cli_value_duration(what, text, &ms, err) < 0)
			return -1;
		if (ms < wake_times[i].least || ms > wake_times[i].most)
			return err_set(err, 0, "%s %s: it must be %s", what, text, wake_times[i].range);
		json_object_set_new(wake, wake_times[i].field, json_integer(ms));
	}
	return 0;
}

/* --wake none. */
static int cli_wake_add_never(json_t *body, const struct args *args, struct err *err)
{
	for (size_t i = 0; i < WAKE_TIMES; i++)
		if (cli_args_has(args, wake_times[i].option))
			return err_set(err, 0, "--wake none and --%s exclude each other", wake_times[i].option);
	json_object_set_new(body, "wake", json_null());
	return 0;
}

int cli_wake_add(json_t *body, const json_t *former, const struct args *args, struct err *err)
{
	const char *text = cli_args_value(args, "wake");

	if (!cli_wake_is_given(args))
		return 0;
	if (text && strcmp(text, "none") == 0)
		return cli_wake_add_never(body, args, err);
	if (!text && !json_is_object(former))
		return err_set(err, 0, "--%s: nothing wakes the sandbox: --wake PORTS says what does",
			       cli_args_has(args, "min-awake") ? "min-awake" : "wake-timeout");
	json_t *wake = cli_wake_copy(former), *ports = text ? cli_wake_ports(text, err) : NULL;
	json_object_set_new(body, "wake", wake);
	if (text && !ports)
		return -1;
	if (ports)
		json_object_set_new(wake, "ports", ports);
	return cli_wake_add_times(wake, args, err);
}

int cli_wake_add_idle(json_t *body, const struct args *args, struct err *err)
{
	const char *text = cli_args_value(args, "idle-report");
	json_int_t ms;

	if (!text)
		return 0;
	if (cli_value_duration("--idle-report", text, &ms, err) < 0)
		return -1;
	if (ms > IDLE_REPORT_MAX_MS)
		return err_set(err, 0, "--idle-report %s: it must be at most 168h", text);
	json_object_set_new(body, "idle_report_ms", json_integer(ms));
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl set: the API replaces labels, bandwidth, limits, door and wake whole, while a person changes one of them. So the sandbox is read, and
 * what it has is sent back with the changes. Two people who do that at once overwrite each other, as with any editor.
 */
#include "base/err.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/door_args.h"
#include "cli/print_text.h"
#include "cli/value_args.h"
#include "cli/wake_args.h"

#include <string.h>

/* Times in ms. */
static const struct {
	const char *option, *field;
	bool is_time;
	json_int_t least, most;
	const char *range; /* as people write it */
} set_limits[] = {
	{ "connections", "connections", false, 0, 10000000, "at most 10000000" },
	{ "connect-deadline", "connect_deadline_ms", true, 1, 604800000, "from 1ms to 168h" },
	{ "idle", "idle_ms", true, 0, 604800000, "at most 168h" },
	{ "half-closed", "half_closed_ms", true, 0, 604800000, "at most 168h" },
	{ "keepalive", "keepalive_ms", true, 0, 32767000, "at most 32767s" },
};

static const struct {
	const char *option, *field;
} set_rates[] = {
	{ "to-guest", "to_guest" },
	{ "from-guest", "from_guest" },
};

/* The part NAME of BODY: that of SANDBOX, to be changed. SANDBOX may be NULL. */
static json_t *command_set_part(json_t *body, const json_t *sandbox, const char *name)
{
	json_t *part = json_object_get(body, name);
	const json_t *former = json_object_get(sandbox, name);

	if (!part) {
		part = former ? json_deep_copy(former) : json_object();
		json_object_set_new(body, name, part);
	}
	return part;
}

static int command_set_add_labels(json_t *body, const json_t *sandbox, const struct args *args, struct err *err)
{
	const char *text;

	for (size_t n = 0; (text = cli_args_value_at(args, "unlabel", n)); n++) {
		json_t *labels = command_set_part(body, sandbox, "labels");
		if (sandbox && json_object_del(labels, text) < 0)
			return err_set(err, 0, "--unlabel %s: there is no such label", text);
	}
	for (size_t n = 0; (text = cli_args_value_at(args, "label", n)); n++)
		if (cli_value_label("--label", text, command_set_part(body, sandbox, "labels"), err) < 0)
			return -1;
	return 0;
}

static int command_set_add_rates(json_t *body, const json_t *sandbox, const struct args *args, struct err *err)
{
	for (size_t i = 0; i < sizeof(set_rates) / sizeof(set_rates[0]); i++) {
		const char *text = cli_args_value(args, set_rates[i].option);
		char what[32];

		if (!text)
			continue;
		snprintf(what, sizeof(what), "--%s", set_rates[i].option);
		json_t *rate = cli_value_rate(what, text, err);
		if (!rate)
			return -1;
		json_object_set_new(command_set_part(body, sandbox, "bandwidth"), set_rates[i].field, rate);
	}
	return 0;
}

static int command_set_read_limit(const char *what, const char *text, bool is_time, json_int_t *value, struct err *err)
{
	long number = 0;

	if (is_time)
		return cli_value_duration(what, text, value, err);
	if (strcmp(text, "none") != 0 && cli_args_number(what, text, 1, 1000000000, &number, err) < 0)
		return -1;
	*value = number;
	return 0;
}

static int command_set_add_limits(json_t *body, const json_t *sandbox, const struct args *args, struct err *err)
{
	for (size_t i = 0; i < sizeof(set_limits) / sizeof(set_limits[0]); i++) {
		const char *text = cli_args_value(args, set_limits[i].option);
		char what[32];
		json_int_t value;

		if (!text)
			continue;
		snprintf(what, sizeof(what), "--%s", set_limits[i].option);
		if (command_set_read_limit(what, text, set_limits[i].is_time, &value, err) < 0)
			return -1;
		if (value < set_limits[i].least || value > set_limits[i].most)
			return err_set(err, 0, "%s %s: it must be %s", what, text, set_limits[i].range);
		json_object_set_new(command_set_part(body, sandbox, "limits"), set_limits[i].field,
				    json_integer(value));
	}
	return 0;
}

/* The door as it is, but for what answers alone have. */
static json_t *command_set_door(json_t *body, const json_t *sandbox)
{
	json_t *door = command_set_part(body, sandbox, "door");

	json_object_del(door, "host_label");
	if (!json_is_object(json_object_get(door, "ports")))
		json_object_set_new(door, "ports", json_object());
	return door;
}

static int command_set_add_door(json_t *body, const json_t *sandbox, const struct args *args, struct err *err)
{
	const char *token = cli_args_value(args, "door-token"), *text;
	bool wanted = false;

	for (size_t n = 0; (text = cli_args_value_at(args, "door", n)); n++) {
		if (cli_door_way(command_set_door(body, sandbox), text, true, err) < 0)
			return -1;
		wanted = wanted || strncmp(text, "token", 5) == 0;
	}
	if (token)
		cli_door_token(command_set_door(body, sandbox), token);
	if (wanted && sandbox && !*client_text(json_object_get(body, "door"), "token_sha256"))
		return err_set(err, 0, "--door token: the sandbox has no token: --door-token SHA256 gives it one");
	return 0;
}

/* Without SANDBOX the options are checked as if it had a `wake`. */
static int command_set_add_wake(json_t *body, const json_t *sandbox, const struct args *args, struct err *err)
{
	json_t *assumed = json_object();
	const json_t *former = sandbox ? json_object_get(sandbox, "wake") : assumed;
	int added = cli_wake_add(body, former, args, err);

	json_decref(assumed);
	return added < 0 ? -1 : cli_wake_add_idle(body, args, err);
}

/* The PATCH of SANDBOX that the options mean; NULL with ERR. Without SANDBOX the options alone are checked. */
static json_t *command_set_body(const json_t *sandbox, const struct args *args, struct err *err)
{
	json_t *body = json_object();
	const char *name = cli_args_value(args, "name");

	if (name && cli_value_name("--name", name, body, err) < 0)
		goto fail;
	if (command_set_add_labels(body, sandbox, args, err) == 0 &&
	    command_set_add_rates(body, sandbox, args, err) == 0 &&
	    command_set_add_limits(body, sandbox, args, err) == 0 &&
	    command_set_add_door(body, sandbox, args, err) == 0 && command_set_add_wake(body, sandbox, args, err) == 0)
		return body;
fail:
	json_decref(body);
	return NULL;
}

int command_set(const struct cli *cli)
{
	const char *id = cli_sandbox_id(cli);
	json_t *sandbox = NULL, *changed = NULL, *body;
	struct err err;

	if (!id)
		return CLI_USAGE;
	if (!cli->args->given_count)
		return cli_usage(cli, "nothing is set: an option is missing");
	/* A mistake in the arguments is reported before the daemon is asked. */
	body = command_set_body(NULL, cli->args, &err);
	if (!body)
		return cli_usage(cli, "%s", err.text);
	json_decref(body);
	int code = cli_get(cli, &sandbox, "/v1/sandboxes/%s", id);
	if (code != CLI_DONE)
		return code;
	body = command_set_body(sandbox, cli->args, &err);
	json_decref(sandbox);
	if (!body)
		return cli_fail(cli, CLI_FAILED, "%s", err.text);
	code = cli_patch(cli, id, body, &changed);
	if (code == CLI_DONE && !cli->json)
		cli_text_print(stdout, "changed %s\n", id);
	json_decref(changed);
	return code;
}

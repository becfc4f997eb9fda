/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl register: the request's body is made from the options, or is a file. Never both, because neither would clearly win.
 */
#include "base/addr.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/door_args.h"
#include "cli/port_args.h"
#include "cli/sandbox.h"
#include "cli/value_args.h"
#include "cli/wake_args.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

enum { BODY_MAX = 1024 * 1024 }; /* far above the daemon's limit, which the daemon reports itself */

#define OWNER_MAX 4294967294L /* 2^32 - 1 is no user; it means "no change" to the kernel */

/* All of FILE, or of stdin for "-". The caller frees. NULL with ERR. */
static char *command_register_read_body(const char *path, size_t *length, struct err *err)
{
	bool is_stdin = strcmp(path, "-") == 0;
	FILE *file = is_stdin ? stdin : fopen(path, "re");
	char *body;

	if (!file) {
		err_set(err, errno, "--body %s", path);
		return NULL;
	}
	body = malloc(BODY_MAX + 1);
	if (!body)
		abort();
	*length = fread(body, 1, BODY_MAX + 1, file);
	if (ferror(file))
		err_set(err, errno, "--body %s", path);
	else if (*length > BODY_MAX)
		err_set(err, 0, "--body %s: longer than %d bytes", path, BODY_MAX);
	else if (*length == 0)
		err_set(err, 0, "--body %s: empty", path);
	bool failed = ferror(file) || *length > BODY_MAX || *length == 0;
	if (!is_stdin)
		fclose(file);
	if (!failed)
		return body;
	free(body);
	return NULL;
}

static int command_register_add_ports(json_t *body, const struct args *args, struct err *err)
{
	const char *text;

	for (size_t n = 0; (text = cli_args_value_at(args, "port", n)); n++) {
		json_t *ports = json_object_get(body, "ports");
		json_t *port = cli_port_to_publish(args, "--port", text, err);
		if (!port)
			return -1;
		if (!ports)
			json_object_set_new(body, "ports", ports = json_array());
		json_array_append_new(ports, port);
	}
	return 0;
}

static int command_register_add_labels(json_t *body, const struct args *args, struct err *err)
{
	const char *text;

	for (size_t n = 0; (text = cli_args_value_at(args, "label", n)); n++) {
		json_t *labels = json_object_get(body, "labels");
		size_t before = json_object_size(labels);
		if (!labels)
			json_object_set_new(body, "labels", labels = json_object());
		if (cli_value_label("--label", text, labels, err) < 0)
			return -1;
		if (json_object_size(labels) == before)
			return err_set(err, 0, "--label %s: the label %.*s is given twice", text,
				       (int)strcspn(text, "="), text);
	}
	return 0;
}

/* Without these options the body has no door, and weftd's default holds. */
static int command_register_add_door(json_t *body, const struct args *args, struct err *err)
{
	const char *token = cli_args_value(args, "door-token"), *text;
	json_t *door;

	if (!token && !cli_args_has(args, "door"))
		return 0;
	json_object_set_new(body, "door", door = json_pack("{s:{}}", "ports"));
	for (size_t n = 0; (text = cli_args_value_at(args, "door", n)); n++) {
		if (cli_door_way(door, text, false, err) < 0)
			return -1;
	}
	if (token)
		cli_door_token(door, token);
	return 0;
}

/* TEXT is a number, or the name of a user, whose own group *GID is then. */
static int command_register_read_user(const char *text, long *uid, long *gid, struct err *err)
{
	if (isdigit((unsigned char)*text))
		return cli_args_number("--tap-owner: UID", text, 0, OWNER_MAX, uid, err);
	const struct passwd *user = getpwnam(text);
	if (!user)
		return err_set(err, 0, "--tap-owner: no user is named '%s' here", text);
	*uid = (long)user->pw_uid;
	*gid = (long)user->pw_gid;
	return 0;
}

static int command_register_read_group(const char *text, long *gid, struct err *err)
{
	if (isdigit((unsigned char)*text))
		return cli_args_number("--tap-owner: GID", text, 0, OWNER_MAX, gid, err);
	const struct group *group = getgrnam(text);
	if (!group)
		return err_set(err, 0, "--tap-owner: no group is named '%s' here", text);
	*gid = (long)group->gr_gid;
	return 0;
}

/* "UID:GID", in which each may be a name, or the name of a user alone. */
static int command_register_add_owner(json_t *body, const char *text, struct err *err)
{
	size_t length = strcspn(text, ":");
	AUTO_FREE char *user = strndup(text, length);
	long uid = 0, gid = 0;

	if (!user)
		abort();
	if (!text[length] && isdigit((unsigned char)*text))
		return err_set(err, 0, "--tap-owner %s: not UID:GID", text);
	if (command_register_read_user(user, &uid, &gid, err) < 0)
		return -1;
	if (text[length] && command_register_read_group(text + length + 1, &gid, err) < 0)
		return -1;
	json_object_set_new(body, "tap_owner", json_pack("{s:I, s:I}", "uid", (json_int_t)uid, "gid", (json_int_t)gid));
	return 0;
}

/* The body that the options make. NULL with ERR. */
static json_t *command_register_make_body(const struct args *args, struct err *err)
{
	json_t *body = json_object();
	const char *ready_port = cli_args_value(args, "ready-port");
	const char *owner = cli_args_value(args, "tap-owner");
	const char *name = cli_args_value(args, "name");
	long port;

	if (command_register_add_ports(body, args, err) < 0 || command_register_add_labels(body, args, err) < 0 ||
	    command_register_add_door(body, args, err) < 0 || cli_wake_add(body, NULL, args, err) < 0 ||
	    cli_wake_add_idle(body, args, err) < 0)
		goto fail;
	if (name && cli_value_name("--name", name, body, err) < 0)
		goto fail;
	if (owner && command_register_add_owner(body, owner, err) < 0)
		goto fail;
	if (ready_port) {
		if (cli_args_number("--ready-port", ready_port, 1, 65535, &port, err) < 0)
			goto fail;
		json_object_set_new(body, "ready_port", json_integer(port));
	}
	if (cli_args_has(args, "default"))
		json_object_set_new(body, "default", json_true());
	return body;
fail:
	json_decref(body);
	return NULL;
}

static int command_register_report(const struct cli *cli, const json_t *sandbox)
{
	if (cli->json)
		return cli_print_json(sandbox);
	cli_screen_wrap(&cli->screen, CELL_PLAIN, "", "registered %s: slot %lld, %s, %s, host address %s, %s",
			client_text(sandbox, "id"), (long long)client_number(sandbox, "slot"),
			client_text(sandbox, "netns"), client_text(sandbox, "tap"), client_text(sandbox, "host_ip"),
			client_text(sandbox, "state"));
	cli_sandbox_print_endpoints(&cli->screen, sandbox, 0);
	return CLI_DONE;
}

int command_register(const struct cli *cli)
{
	const char *id = cli_sandbox_id(cli);
	const char *path = cli_args_value(cli->args, "body");
	AUTO_FREE char *target = NULL;
	AUTO_FREE char *raw = NULL;
	json_t *sandbox = NULL;
	struct err err;
	size_t length;
	int code;

	if (!id)
		return CLI_USAGE;
	if (path && cli->args->given_count > 1)
		return cli_usage(cli, "--body is the whole request: it cannot be combined with --%s",
				 cli->args->given[cli->args->given[0].value == path].option->name);
	if (asprintf(&target, "/v1/sandboxes/%s", id) < 0)
		abort();
	if (path) {
		raw = command_register_read_body(path, &length, &err);
		if (!raw)
			return cli_fail(cli, CLI_FAILED, "%s", err.text);
		code = cli_send(cli, "PUT", target, raw, length, 0, &sandbox);
	} else {
		json_t *body = command_register_make_body(cli->args, &err);
		if (!body)
			return cli_usage(cli, "%s", err.text);
		code = cli_call(cli, "PUT", target, body, 0, &sandbox);
		json_decref(body);
	}
	if (code == CLI_DONE)
		command_register_report(cli, sandbox);
	json_decref(sandbox);
	return code;
}

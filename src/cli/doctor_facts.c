/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon that runs is asked first, because it knows the options in force and the names of slots that former ones made. One that gives
 * no answer is known by its command line: its files are read then.
 */
#include "cli/doctor_facts.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "cli/call.h"
#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char usual_config[] = "/etc/weft/weftd.conf";
static const char usual_state_dir[] = "/run/weft/state";

bool cli_doctor_find_path(int pid, const char *option, char path[static DOCTOR_PATH_SIZE], bool *known)
{
	char name[32], text[DOCTOR_PATH_SIZE];
	size_t option_length = strlen(option);
	const char *file = NULL;

	snprintf(name, sizeof(name), "/proc/%d/cmdline", pid);
	AUTO_FD int fd = pid > 0 ? open(name, O_RDONLY | O_CLOEXEC) : -1;
	ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	size_t length = got > 0 ? (size_t)got : 0;
	*known = length > 0;
	text[length] = '\0';
	for (const char *arg = text; arg < text + length; arg += strlen(arg) + 1) {
		const char *next = arg + strlen(arg) + 1;
		if (strncmp(arg, option, option_length) == 0 && arg[option_length] == '=')
			file = arg + option_length + 1;
		else if (strcmp(arg, option) == 0 && next < text + length)
			file = next;
	}
	if (!file)
		return false;
	if (*file == '/')
		snprintf(path, DOCTOR_PATH_SIZE, "%s", file);
	else
		snprintf(path, DOCTOR_PATH_SIZE, "/proc/%d/cwd/%.4000s", pid, file);
	return true;
}

static struct config *cli_doctor_read_config(const struct cli *cli, const char *path)
{
	struct config_mistakes mistakes = { 0 };
	struct config *config = config_load(path, CONFIG_PATIENCE_MS, NULL, &mistakes);
	char text[512];

	for (size_t i = 0; !config && i < mistakes.count; i++) {
		config_mistake_format(&mistakes, &mistakes.items[i], text, sizeof(text));
		cli_fail(cli, CLI_FAILED, "%s", text);
	}
	config_mistakes_clear(&mistakes);
	return config;
}

/* The file of a daemon that does not say: the one on its command line, the usual one if it exists, or the defaults. */
static struct config *cli_doctor_guess_config(const struct cli *cli, int pid, struct health_report *report)
{
	char own[DOCTOR_PATH_SIZE];
	bool known = true;

	if (pid && cli_doctor_find_path(pid, "--config", own, &known)) {
		if (access(own, R_OK) == 0)
			return cli_doctor_read_config(cli, own);
		health_add(report, "configuration", HEALTH_SKIPPED,
			   "assuming the defaults, for that of weftd is not visible from here: %.300s: %s", own,
			   strerror(errno));
		return config_default();
	}
	if (access(usual_config, F_OK) == 0)
		return cli_doctor_read_config(cli, usual_config);
	if (!known)
		health_add(report, "configuration", HEALTH_SKIPPED,
			   "assuming the defaults, for that of weftd is not visible from here");
	return config_default();
}

struct cli_doctor_reading {
	struct config *config;
	const json_t *sections;
};

/* An option that this weftctl and that weftd both know. */
static void cli_doctor_take_option(void *context, const char *section, const char *key, const char *value, bool list)
{
	const struct cli_doctor_reading *reading = context;
	const json_t *said = json_object_get(json_object_get(reading->sections, section), key), *item;
	size_t i;

	(void)value;
	if (!list) {
		if (json_is_string(said))
			config_set(reading->config, section, key, json_string_value(said));
		return;
	}
	if (!json_is_array(said))
		return;
	AUTO_FREE char *text = strdup("");
	json_array_foreach(said, i, item)
	{
		char *longer = NULL;
		if (!text || asprintf(&longer, "%s %s", text, json_is_string(item) ? json_string_value(item) : "") < 0)
			return;
		free(text);
		text = longer;
	}
	if (text)
		config_set(reading->config, section, key, text);
}

/* The options in force, as the daemon says; NULL: it does not, or there is no memory. */
static struct config *cli_doctor_config_in_force(const json_t *uses)
{
	const json_t *sections = json_object_get(uses, "options");
	struct config *defaults = json_is_object(sections) ? config_default() : NULL;
	struct cli_doctor_reading reading = { .config = defaults ? config_copy(defaults) : NULL, .sections = sections };

	if (reading.config)
		config_each_option(defaults, cli_doctor_take_option, &reading);
	config_free(defaults);
	return reading.config;
}

static bool cli_doctor_read_range(const json_t *layout, const char *key, struct cidr4 *range)
{
	return addr_cidr4_parse(client_text(layout, key), range) == 0;
}

static void cli_doctor_note_layouts(struct health_facts *facts, const json_t *layouts)
{
	const json_t *one;
	size_t i;

	json_array_foreach(layouts, i, one)
	{
		struct health_layout layout = { .link_group = (uint32_t)client_number(one, "link_group") };
		snprintf(layout.netns_dir, sizeof(layout.netns_dir), "%s", client_text(one, "netns_dir"));
		snprintf(layout.netns_prefix, sizeof(layout.netns_prefix), "%s", client_text(one, "netns_prefix"));
		snprintf(layout.veth_prefix, sizeof(layout.veth_prefix), "%s", client_text(one, "veth_prefix"));
		if (cli_doctor_read_range(one, "host_cidr", &layout.host_cidr) &&
		    cli_doctor_read_range(one, "veth_cidr", &layout.veth_cidr))
			health_note_layout(facts, &layout);
	}
}

/* The layouts that a daemon which does not answer, or is gone, noted in its state directory; unreadable ones are left out. */
static void cli_doctor_read_marks(struct health_facts *facts, const char *state_dir)
{
	char path[DOCTOR_PATH_SIZE + 16];

	snprintf(path, sizeof(path), "%s/marks.json", state_dir);
	json_t *marks = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
	cli_doctor_note_layouts(facts, json_object_get(marks, "marks"));
	json_decref(marks);
}

/* GET; NULL if there is no usable answer. *ERR: why there is none; its code is 0 after a refusal. */
static json_t *cli_doctor_ask(const struct cli *cli, const char *target, struct err *err)
{
	const struct client_request request = {
		.socket = cli->socket,
		.agent = "weftctl",
		.method = "GET",
		.target = target,
		.timeout_ms = cli->deadline_ms,
	};
	struct client_refusal refusal = { 0 };
	json_t *answer = NULL;

	*err = (struct err){ 0 };
	if (client_ask(&request, &answer, &refusal, err) == CLIENT_REFUSED)
		client_refusal_clear(&refusal);
	return answer;
}

static void cli_doctor_note_not_open(struct health_facts *facts, const json_t *status)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(status, "not_open"), i, one)
	    health_note_not_open(facts, client_text(one, "what"), client_text(one, "address"),
				 client_text(one, "proto"), client_text(one, "holder"));
}

/* Also how many of SANDBOXES something wakes. */
static void cli_doctor_note_ports(struct health_facts *facts, const json_t *sandboxes)
{
	const json_t *sandbox, *endpoint;
	size_t i, j;

	json_array_foreach(sandboxes, i, sandbox)
	{
		facts->said.wakeable += json_is_object(json_object_get(sandbox, "wake"));
		json_array_foreach(json_object_get(sandbox, "endpoints"), j, endpoint)
		{
			if (strcmp(client_text(endpoint, "proto"), "udp") != 0)
				health_note_port(facts, (uint16_t)client_number(endpoint, "guest_port"));
		}
	}
}

static void cli_doctor_note_catalog(struct health_catalog *catalog, const json_t *said)
{
	snprintf(catalog->redis, sizeof(catalog->redis), "%s", client_text(said, "redis"));
	snprintf(catalog->error, sizeof(catalog->error), "%s", client_text(said, "error"));
	catalog->up = json_is_true(json_object_get(said, "up"));
	catalog->published = (size_t)client_number(said, "published");
	catalog->foreign = (size_t)client_number(said, "foreign");
}

static void cli_doctor_note_loopback(struct health_loopback *loopback, const json_t *said)
{
	snprintf(loopback->mode, sizeof(loopback->mode), "%s", client_text(said, "mode"));
	snprintf(loopback->cgroup, sizeof(loopback->cgroup), "%s", client_text(said, "cgroup"));
	snprintf(loopback->error, sizeof(loopback->error), "%s", client_text(said, "error"));
	loopback->open = json_is_true(json_object_get(said, "open"));
	loopback->ipv6 = json_is_true(json_object_get(said, "ipv6"));
	loopback->entries = (size_t)client_number(said, "entries");
	loopback->wanted = (size_t)client_number(said, "wanted");
}

/* Asks the daemon for its status, and notes what it says. One that is not for the caller to ask is as good as none. NULL: no answer. */
static json_t *cli_doctor_ask_status(const struct cli *cli, struct health_facts *facts)
{
	struct err err;
	const char *name;
	json_t *count, *status = cli_doctor_ask(cli, "/v1/status", &err);

	if (!status) {
		if (err.code == ETIMEDOUT)
			snprintf(facts->said.silent, sizeof(facts->said.silent), "%.150s", err.text);
		return NULL;
	}
	facts->said.answered = true;
	facts->said.all_layouts = json_array_size(json_object_get(json_object_get(status, "uses"), "layouts")) > 0;
	snprintf(facts->said.state, sizeof(facts->said.state), "%s", client_text(status, "state"));
	json_object_foreach(json_object_get(status, "sandboxes"), name, count) facts->said.sandboxes +=
	    (size_t)json_integer_value(count);
	facts->said.event_readers = (size_t)client_number(status, "event_readers");
	cli_doctor_note_not_open(facts, status);
	cli_doctor_note_catalog(&facts->said.catalog, json_object_get(status, "catalog"));
	cli_doctor_note_loopback(&facts->said.loopback, json_object_get(status, "loopback"));
	cli_doctor_note_layouts(facts, json_object_get(json_object_get(status, "uses"), "layouts"));
	return status;
}

/* Asks the daemon for its sandboxes, which it holds back while it still loads them. */
static void cli_doctor_note_sandboxes(const struct cli *cli, struct health_facts *facts)
{
	struct err err;

	json_t *answer = strcmp(facts->said.state, "running") == 0 ? cli_doctor_ask(cli, "/v1/sandboxes", &err) : NULL;
	cli_doctor_note_ports(facts, json_is_array(answer) ? answer : json_object_get(answer, "sandboxes"));
	json_decref(answer);
}

/* Reads the daemon's file, which may have changed since. One that cannot be used is its daemon's matter: `weftd --check` tells. */
static void cli_doctor_read_file(struct cli_doctor *doctor, const char *path, struct health_report *report)
{
	struct config_mistakes mistakes = { 0 };
	char text[400];

	snprintf(doctor->file_path, sizeof(doctor->file_path), "%s", path);
	if (!path[0]) {
		doctor->file = config_default();
		return;
	}
	if (access(path, R_OK) < 0 && errno != ENOENT)
		return;
	doctor->file = config_load(path, CONFIG_PATIENCE_MS, NULL, &mistakes);
	if (!doctor->file && mistakes.count) {
		config_mistake_format(&mistakes, &mistakes.items[0], text, sizeof(text));
		struct health_finding *finding = health_add(report, "configuration", HEALTH_FAIL, "%s", text);
		health_why(finding,
			   "weftd goes on with what it was started with, and does not start again with this file");
		health_fix(finding, "weftd --check --config %.300s shows all mistakes", path);
	}
	config_mistakes_clear(&mistakes);
}

int cli_doctor_begin(const struct cli *cli, struct cli_doctor *doctor, struct health_report *report, json_t **status,
		     char state_dir[static DOCTOR_PATH_SIZE], int *pid)
{
	struct health_facts *facts = &doctor->facts;
	const char *named = cli_args_value(cli->args, "config");
	bool known;

	*doctor = (struct cli_doctor){ 0 };
	health_facts_begin(facts, cli->socket);
	*pid = health_daemon(facts);
	*status = cli_doctor_ask_status(cli, facts);
	const json_t *uses = json_object_get(*status, "uses");
	snprintf(state_dir, DOCTOR_PATH_SIZE, "%s", client_text(uses, "state_dir"));
	if (!state_dir[0] && !cli_doctor_find_path(*pid, "--state-dir", state_dir, &known))
		snprintf(state_dir, DOCTOR_PATH_SIZE, "%s", usual_state_dir);
	if (!uses)
		cli_doctor_read_marks(facts, state_dir);
	if (named) {
		doctor->config = cli_doctor_read_config(cli, named);
	} else if ((doctor->config = cli_doctor_config_in_force(uses))) {
		cli_doctor_read_file(doctor, client_text(uses, "config"), report);
		facts->file = doctor->file;
		facts->file_path = doctor->file_path;
	} else {
		doctor->config = cli_doctor_guess_config(cli, *pid, report);
	}
	return doctor->config ? 0 : -1;
}

int cli_doctor_gather(const struct cli *cli, struct cli_doctor *doctor, struct health_report *report)
{
	char state_dir[DOCTOR_PATH_SIZE] = "";
	json_t *status = NULL;
	int pid;

	int code = cli_doctor_begin(cli, doctor, report, &status, state_dir, &pid);
	if (code == 0) {
		cli_doctor_note_sandboxes(cli, &doctor->facts);
		health_facts_gather(&doctor->facts, doctor->config, state_dir, pid > 0 ? pid : 0);
	}
	json_decref(status);
	return code;
}

void cli_doctor_clear(struct cli_doctor *doctor)
{
	health_facts_clear(&doctor->facts);
	config_free(doctor->config);
	config_free(doctor->file);
	*doctor = (struct cli_doctor){ 0 };
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An examination reads much of /proc and all rules of the host, so it runs on a thread of its own, with a copy of the configuration,
 * because main may reload the one in force. There is one at a time; those who ask meanwhile get its findings too.
 */
#include "daemon/examine.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/thread.h"
#include "base/vec.h"
#include "config/config.h"
#include "control/control.h"
#include "daemon/daemon.h"
#include "daemon/load_config.h"
#include "daemon/loopback.h"
#include "daemon/not_open.h"
#include "daemon/options.h"
#include "health/doctor.h"
#include "registry/registry.h"
#include "wire/write.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAITING_MAX = 64 };

struct examine {
	struct daemon *daemon;
	struct mailbox *done;
	char *last; /* the last findings as JSON; NULL: there are none */

	/* The one that is under way. */
	bool under_way;
	struct control_request_list waiting;
	size_t waiting_count;
	struct mail mail;
	struct base_thread thread;
	struct health_report report;
	json_t *not_open; /* as the status has it */
	struct health_loopback loopback;
	struct config *config; /* a copy of the one in force */
	size_t sandboxes, wakeable, event_readers;
	struct {
		VEC_OF(uint16_t);
	} ports;           /* that sandboxes publish over TCP */
	char mistake[256]; /* of the configuration file; "": none */
	int64_t measured_ms;
};

static void daemon_examine_note_mistake(void *context, const char *mistake)
{
	struct examine *examine = context;

	if (!examine->mistake[0])
		snprintf(examine->mistake, sizeof(examine->mistake), "%s", mistake);
}

/* What a client would be told, because the thread may not look at the registry. */
static void daemon_examine_copy(struct examine *examine)
{
	struct registry *registry = examine->daemon->registry;

	examine->not_open = daemon_not_open_list(examine->daemon);
	daemon_loopback_tell_doctor(examine->daemon, &examine->loopback);
	examine->config = config_copy(examine->daemon->config);
	examine->report.incomplete |= !examine->not_open || !examine->config;
	examine->sandboxes = examine->wakeable = 0;
	examine->event_readers = control_event_readers(examine->daemon->control);
	for (const struct sandbox *sandbox = registry_next(registry, 0); sandbox;
	     sandbox = registry_next(registry, sandbox->slot)) {
		examine->sandboxes++;
		examine->wakeable += sandbox->spec->wake.which != WAKE_NEVER;
		for (size_t i = 0; i < sandbox->spec->port_count; i++) {
			const struct spec_port *port = &sandbox->spec->ports[i];
			uint16_t *copy = port->proto == PROTO_TCP ? vec_push(&examine->ports) : NULL;
			if (copy)
				*copy = port->guest_port;
			else if (port->proto == PROTO_TCP)
				examine->report.incomplete = true;
		}
	}
}

static void daemon_examine_drop_copy(struct examine *examine)
{
	json_decref(examine->not_open);
	examine->not_open = NULL;
	config_free(examine->config);
	examine->config = NULL;
	vec_free(&examine->ports);
}

static const char *daemon_examine_member(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

static void daemon_examine_note(const struct examine *examine, struct health_facts *facts)
{
	const json_t *one;
	size_t i;

	json_array_foreach(examine->not_open, i, one)
	    health_note_not_open(facts, daemon_examine_member(one, "what"), daemon_examine_member(one, "address"),
				 daemon_examine_member(one, "proto"), daemon_examine_member(one, "holder"));
	for (i = 0; i < examine->ports.count; i++)
		health_note_port(facts, examine->ports.items[i]);
	facts->said.answered = true;
	facts->said.all_layouts = true; /* the copy of the configuration has them */
	facts->said.sandboxes = examine->sandboxes;
	facts->said.loopback = examine->loopback;
	facts->said.wakeable = examine->wakeable;
	facts->said.event_readers = examine->event_readers;
}

/* The file as it is now; NULL after a finding, if the next start could not use it. */
static struct config *daemon_examine_read_file(struct examine *examine)
{
	int exit_code;
	struct config *file = daemon_load_config(examine->daemon->options, false, CONFIG_PATIENCE_MS,
						 daemon_examine_note_mistake, examine, &exit_code);

	if (file)
		return file;
	struct health_finding *finding =
	    health_add(&examine->report, "configuration", HEALTH_FAIL, "%s", examine->mistake);
	health_why(finding, "weftd goes on with what it was started with, and does not start again with this file");
	health_fix(finding, "weftd --check shows all mistakes");
	return NULL;
}

static void *daemon_examine_run(void *arg)
{
	struct examine *examine = arg;
	const struct options *options = examine->daemon->options;
	const char *path = daemon_load_config_path(options);
	struct health_facts facts;
	struct config *file = daemon_examine_read_file(examine);

	if (examine->config) {
		health_facts_begin(&facts, options->socket);
		daemon_examine_note(examine, &facts);
		facts.file = file;
		facts.file_path = path ? path : "";
		health_facts_gather(&facts, examine->config, options->state_dir, 0);
		health_doctor_examine(&facts, &examine->report);
		health_facts_clear(&facts);
	}
	config_free(file);
	examine->measured_ms = clock_wall_ms();
	base_mailbox_post(examine->done, &examine->mail);
	return NULL;
}

static json_t *daemon_examine_describe_finding(const struct health_finding *finding)
{
	return json_pack("{s:s, s:s, s:o, s:o, s:o}", "check", finding->check, "status",
			 health_status_name(finding->status), "detail", wire_write_text(finding->detail), "why",
			 wire_write_text(finding->why), "fix", wire_write_text(finding->fix));
}

/* To be freed. NULL for want of memory. The caller's environment is no concern of weftd's. */
static char *daemon_examine_describe(const struct examine *examine)
{
	const struct health_report *report = &examine->report;
	char measured_at[CLOCK_TEXT_SIZE];
	json_t *findings = report->incomplete ? NULL : json_array();

	for (size_t i = 0; i < report->count && findings; i++) {
		const struct health_finding *finding = &report->findings[i];
		if (!strcmp(finding->check, "proxy_environment") ||
		    json_array_append_new(findings, daemon_examine_describe_finding(finding)) == 0)
			continue;
		json_decref(findings);
		findings = NULL;
	}
	json_t *body = findings ? json_pack("{s:o, s:s}", "findings", findings, "measured_at",
					    clock_format(examine->measured_ms, measured_at))
				: NULL;
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	json_decref(body);
	return text;
}

static void daemon_examine_answer(struct control_request *request, const char *text)
{
	static const char none[] = "{\"findings\":[],\"measured_at\":null}";

	text = text ? text : none;
	control_reply_text(control_request_release(request), "application/json", text, strlen(text));
}

static void daemon_examine_deliver(struct mail *mail)
{
	struct examine *examine = container_of(mail, struct examine, mail);
	struct control_request *request;
	char *text = daemon_examine_describe(examine);

	base_thread_join(&examine->thread);
	examine->under_way = false;
	health_report_clear(&examine->report);
	daemon_examine_drop_copy(examine);
	if (text) {
		free(examine->last);
		examine->last = text;
	}
	while ((request = TAILQ_FIRST(&examine->waiting))) {
		TAILQ_REMOVE(&examine->waiting, request, next);
		if (text)
			daemon_examine_answer(request, text);
		else
			control_request_refuse_unavailable(request, "out of memory");
	}
	examine->waiting_count = 0;
}

/* 0, or -1: it is not begun. */
static int daemon_examine_begin(struct examine *examine)
{
	struct err ignored;

	examine->mail = (struct mail){ .deliver = daemon_examine_deliver };
	examine->thread = (struct base_thread){ .name = "weft-doctor" };
	examine->report = (struct health_report){ 0 };
	examine->mistake[0] = '\0';
	daemon_examine_copy(examine);
	if (base_thread_start(&examine->thread, daemon_examine_run, examine, &ignored) < 0) {
		daemon_examine_drop_copy(examine);
		return -1;
	}
	examine->under_way = true;
	return 0;
}

void daemon_examine(void *context, struct control_request *request)
{
	struct daemon *daemon = context;
	struct examine *examine = daemon->examine;

	if (examine->waiting_count == WAITING_MAX) {
		control_request_refuse_unavailable(request, "too many wait for an examination of the host already");
	} else if (!examine->under_way && daemon_examine_begin(examine) < 0) {
		control_request_refuse_unavailable(request, "no thread for an examination of the host");
	} else {
		TAILQ_INSERT_TAIL(&examine->waiting, request, next);
		examine->waiting_count++;
	}
}

void daemon_examine_last(void *context, struct control_request *request)
{
	struct daemon *daemon = context;

	daemon_examine_answer(request, daemon->examine->last);
}

int daemon_examine_start(struct daemon *daemon, struct err *err)
{
	struct examine *examine = calloc(1, sizeof(*examine));

	if (!examine)
		return err_set(err, ENOMEM, "doctor");
	daemon->examine = examine;
	examine->daemon = daemon;
	TAILQ_INIT(&examine->waiting);
	examine->done = base_mailbox_new(daemon->base, err);
	return examine->done ? 0 : -1;
}

void daemon_examine_stop(struct daemon *daemon)
{
	struct examine *examine = daemon->examine;

	if (!examine)
		return;
	while (examine->under_way)
		base_mailbox_wait(examine->done);
	if (examine->done)
		base_mailbox_free(examine->done);
	free(examine->last);
	free(examine);
	daemon->examine = NULL;
}

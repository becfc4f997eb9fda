/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A note for each address, for people alone: whether an endpoint is open is told by its listener. So the list is bounded, and a
 * note whose endpoint is gone is dropped when somebody looks.
 *
 * The search for a holder walks all processes, so each second has room for a few, and a known holder is looked for again only
 * now and then.
 */
#include "daemon/not_open.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/vec.h"
#include "control/control.h"
#include "daemon/daemon.h"
#include "daemon/port_holder.h"
#include "registry/registry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	NOTES_MAX = 256,
	SEARCHES_A_SECOND = 8,
	SEARCH_AGAIN_MS = 10 * 1000,
};

struct not_open_note {
	struct addr listen;
	enum proto proto;
	const char *path;                 /* of a unix socket, in place of these two; NULL: they count */
	char sandbox[SANDBOX_ID_MAX + 1]; /* "": weftd's own */
	const char *what;                 /* the option */
	int code;                         /* errno of the last try */
	char holder[112];                 /* "": unknown, or no holder is to blame */
	uint64_t searched_ms;             /* clock_now_ms(), when the holder was looked for; 0: not yet */
	char error[256];
	bool logged;
};

struct not_open {
	VEC_OF(struct not_open_note);
	unsigned searches_left;
};

int daemon_not_open_start(struct daemon *daemon, struct err *err)
{
	daemon->not_open = calloc(1, sizeof(*daemon->not_open));
	if (!daemon->not_open)
		return err_set(err, ENOMEM, "start");
	daemon->not_open->searches_left = SEARCHES_A_SECOND;
	return 0;
}

void daemon_not_open_stop(struct daemon *daemon)
{
	if (!daemon->not_open)
		return;
	vec_free(daemon->not_open);
	free(daemon->not_open);
	daemon->not_open = NULL;
}

bool daemon_not_open_is_shortage(const struct err *err)
{
	return err_code_is_exhaustion(err->code) || err->code == ENOSPC;
}

bool daemon_not_open_may_pass(const struct err *err)
{
	return err->code == EADDRINUSE || daemon_not_open_is_shortage(err);
}

static struct not_open_note *daemon_not_open_find(struct not_open *list, const struct addr *listen, enum proto proto)
{
	for (size_t i = 0; i < list->count; i++)
		if (!list->items[i].path && list->items[i].proto == proto && addr_equal(&list->items[i].listen, listen))
			return &list->items[i];
	return NULL;
}

static struct not_open_note *daemon_not_open_find_path(struct not_open *list, const char *path)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->items[i].path && strcmp(list->items[i].path, path) == 0)
			return &list->items[i];
	return NULL;
}

/* Its address in text. */
static const char *daemon_not_open_format(const struct not_open_note *note, char text[static ADDR_TEXT_SIZE])
{
	return note->path ? note->path : addr_format(&note->listen, text);
}

static void daemon_not_open_log(struct daemon *daemon, struct not_open_note *note)
{
	const char *fix = note->code == EADDRINUSE ? "stop the holder" : NULL;
	char buffer[ADDR_TEXT_SIZE];
	const char *text = daemon_not_open_format(note, buffer);

	note->logged = true;
	if (note->sandbox[0]) {
		log_seldom(LOG_ERROR_LEVEL, "endpoint not open; it is tried again each second",
			   F_STR("sandbox", note->sandbox), F_STR("address", text), F_STR("error", note->error),
			   F_STR("fix", fix));
		return;
	}
	log_error("address not open; it is tried again each second", F_STR("option", note->what),
		  F_STR("address", text), F_STR("error", note->error), F_STR("fix", fix));
	control_event_host(daemon->control, "ports", "fail", note->error);
}

/* Looks for the holder, if it is time to. Whether the note says something new. */
static bool daemon_not_open_search(struct not_open *list, struct not_open_note *note)
{
	uint64_t now = clock_now_ms();
	struct socket_holder holder;
	char text[ADDR_TEXT_SIZE];

	if (note->searched_ms && now - note->searched_ms < SEARCH_AGAIN_MS)
		return false;
	if (note->sandbox[0] && !list->searches_left)
		return false;
	list->searches_left -= note->sandbox[0] != '\0';
	note->searched_ms = now;
	daemon_port_holder_find(&note->listen, note->proto, &holder);
	if (strcmp(note->holder, holder.text) == 0)
		return false;
	snprintf(note->holder, sizeof(note->holder), "%s", holder.text);
	snprintf(note->error, sizeof(note->error), "%s is in use by %s", addr_format(&note->listen, text), holder.text);
	return true;
}

/* Whether the note says something new. */
static bool daemon_not_open_update(struct not_open *list, struct not_open_note *note, const struct err *why)
{
	bool changed = note->code != why->code;

	if (changed) {
		note->code = why->code;
		note->holder[0] = '\0';
		note->searched_ms = 0;
		snprintf(note->error, sizeof(note->error), "%s", why->text);
	}
	if (why->code == EADDRINUSE)
		changed = daemon_not_open_search(list, note);
	return changed || !note->logged;
}

void daemon_not_open_add(struct daemon *daemon, const struct addr *listen, enum proto proto, const char *sandbox,
			 const char *what, const struct err *why)
{
	struct not_open *list = daemon->not_open;
	struct not_open_note *note = daemon_not_open_find(list, listen, proto);

	if (!note) {
		note = list->count < NOTES_MAX ? vec_push(list) : NULL;
		if (!note)
			return;
		note->listen = *listen;
		note->proto = proto;
		note->what = what;
		snprintf(note->sandbox, sizeof(note->sandbox), "%s", sandbox ? sandbox : "");
	}
	/* A holder that is still to be found is waited for: one line, with its name. */
	if (daemon_not_open_update(list, note, why) && (why->code != EADDRINUSE || note->holder[0]))
		daemon_not_open_log(daemon, note);
}

void daemon_not_open_add_path(struct daemon *daemon, const char *path, const char *what, const struct err *why)
{
	struct not_open *list = daemon->not_open;
	struct not_open_note *note = daemon_not_open_find_path(list, path);

	if (!note) {
		note = list->count < NOTES_MAX ? vec_push(list) : NULL;
		if (!note)
			return;
		note->path = path;
		note->what = what;
	}
	if (note->logged && strcmp(note->error, why->text) == 0)
		return;
	snprintf(note->error, sizeof(note->error), "%s", why->text);
	daemon_not_open_log(daemon, note);
}

static void daemon_not_open_drop(struct not_open *list, struct not_open_note *note)
{
	*note = list->items[--list->count];
}

static void daemon_not_open_end(struct daemon *daemon, struct not_open_note *note)
{
	char buffer[ADDR_TEXT_SIZE], detail[128];
	const char *text;

	if (!note)
		return;
	text = daemon_not_open_format(note, buffer);
	if (note->sandbox[0]) {
		log_seldom(LOG_INFO_LEVEL, "endpoint open again", F_STR("sandbox", note->sandbox),
			   F_STR("address", text));
	} else {
		log_info("address open again", F_STR("option", note->what), F_STR("address", text));
		snprintf(detail, sizeof(detail), "%s is open", text);
		control_event_host(daemon->control, "ports", "ok", detail);
	}
	daemon_not_open_drop(daemon->not_open, note);
}

void daemon_not_open_remove(struct daemon *daemon, const struct addr *listen, enum proto proto)
{
	daemon_not_open_end(daemon, daemon_not_open_find(daemon->not_open, listen, proto));
}

void daemon_not_open_remove_path(struct daemon *daemon, const char *path)
{
	daemon_not_open_end(daemon, daemon_not_open_find_path(daemon->not_open, path));
}

/* Whether the address is still wanted, and closed. */
static bool daemon_not_open_counts(const struct daemon *daemon, const struct not_open_note *note)
{
	const struct sandbox *sandbox = note->sandbox[0] ? registry_find(daemon->registry, note->sandbox) : NULL;

	if (!note->sandbox[0])
		return true;
	for (size_t i = 0; sandbox && i < sandbox->endpoint_count; i++) {
		const struct endpoint *endpoint = &sandbox->endpoints[i];

		for (size_t j = 0; endpoint->port.proto == note->proto && j < endpoint->listen_count; j++)
			if (!endpoint->handles[j] && addr_equal(&endpoint->listen[j], &note->listen))
				return sandbox->state != SANDBOX_DRAINING;
	}
	return false;
}

void daemon_not_open_tidy(struct daemon *daemon)
{
	struct not_open *list = daemon->not_open;

	list->searches_left = SEARCHES_A_SECOND;
	for (size_t i = list->count; i-- > 0;)
		if (!daemon_not_open_counts(daemon, &list->items[i]))
			daemon_not_open_drop(list, &list->items[i]);
}

const char *daemon_not_open_holder(const struct daemon *daemon, const struct addr *listen, enum proto proto)
{
	const struct not_open_note *note = daemon_not_open_find(daemon->not_open, listen, proto);

	return note ? note->holder : "";
}

static json_t *daemon_not_open_write(const struct not_open_note *note)
{
	char text[ADDR_TEXT_SIZE], what[SANDBOX_ID_MAX + 16];

	snprintf(what, sizeof(what), note->sandbox[0] ? "sandbox %s" : "%s",
		 note->sandbox[0] ? note->sandbox : note->what);
	return json_pack("{s:s, s:s, s:s, s:s?, s:s}", "address", daemon_not_open_format(note, text), "proto",
			 note->path ? "unix" : addr_proto_name(note->proto), "what", what, "holder",
			 note->holder[0] ? note->holder : NULL, "error", note->error);
}

size_t daemon_not_open_count(const struct daemon *daemon, bool of_sandboxes)
{
	const struct not_open *list = daemon->not_open;
	size_t count = 0;

	for (size_t i = 0; i < list->count; i++) {
		const struct not_open_note *note = &list->items[i];

		count += (note->sandbox[0] != '\0') == of_sandboxes && daemon_not_open_counts(daemon, note);
	}
	return count;
}

json_t *daemon_not_open_list(struct daemon *daemon)
{
	struct not_open *list = daemon->not_open;
	json_t *array = json_array();

	for (size_t i = 0; array && i < list->count; i++) {
		if (!daemon_not_open_counts(daemon, &list->items[i]))
			continue;
		if (json_array_append_new(array, daemon_not_open_write(&list->items[i])) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

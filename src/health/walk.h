/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HEALTH_WALK_H
#define WEFT_HEALTH_WALK_H

/* Shared by the files of one hop each. For health/ alone. */

#include "config/config.h"
#include "health/diagnose.h"

#include <stdio.h>

struct walk {
	const struct diagnose_request *request;
	struct diagnosis *diagnosis;
	int netns_fd;    /* of the sandbox's namespace; -1: its file could not be opened */
	int netns_error; /* errno then; ENOENT: it is not there */
	char netns[CONFIG_NAME_SIZE];
	char veth[CONFIG_LINK_SIZE];
};

/* Fills in HOP. With SUBJECT_ONLY the path is broken already: name the subject and try nothing. */
typedef enum hop_status hop_check(struct walk *walk, struct hop *hop, bool subject_only);

hop_check hop_listen, hop_veth, hop_route, hop_rules, hop_tap, hop_guest, hop_tcp, hop_http;

void hop_subject(struct hop *hop, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Sets the detail and returns STATUS. */
enum hop_status hop_say(struct hop *hop, enum hop_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#define hop_ok(hop, ...)   hop_say(hop, HOP_OK, __VA_ARGS__)
#define hop_skip(hop, ...) hop_say(hop, HOP_SKIPPED, __VA_ARGS__)
#define hop_fail(hop, ...) hop_say(hop, HOP_FAIL, __VA_ARGS__)

/*
 * The cause and the next step, from the hop that fails. A hop that could not be looked at has none: a shortage says nothing about
 * the sandbox, and the walk itself tells of it.
 */
#define walk_cause(walk, ...) snprintf((walk)->diagnosis->cause, sizeof((walk)->diagnosis->cause), __VA_ARGS__)
#define walk_next_step(walk, ...)                                                                                      \
	snprintf((walk)->diagnosis->next_step, sizeof((walk)->diagnosis->next_step), __VA_ARGS__)
#define walk_clear(walk) ((walk)->diagnosis->cause[0] = (walk)->diagnosis->next_step[0] = '\0')

#endif

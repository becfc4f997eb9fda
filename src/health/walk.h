/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HEALTH_WALK_H
#define WEFT_HEALTH_WALK_H

/* What the files of one hop each share. For health/ alone. */

#include "config/config.h"
#include "health/diagnose.h"

struct walk {
	const struct diagnose_request *request;
	struct diagnosis *diagnosis;
	int netns_fd; /* of the sandbox's namespace; -1: its file is not there */
	char netns[CONFIG_NAME_SIZE];
	char veth[CONFIG_LINK_SIZE];
};

/* Fills in HOP. SUBJECT_ONLY: the path is broken before it; name the subject and try nothing. */
typedef enum hop_status hop_check(struct walk *walk, struct hop *hop, bool subject_only);

hop_check hop_listen, hop_veth, hop_route, hop_rules, hop_tap, hop_guest, hop_tcp, hop_http;

void hop_subject(struct hop *hop, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Each sets the detail and returns its status. */
enum hop_status hop_ok(struct hop *hop, const char *format, ...) __attribute__((format(printf, 2, 3)));
enum hop_status hop_skip(struct hop *hop, const char *format, ...) __attribute__((format(printf, 2, 3)));
enum hop_status hop_fail(struct hop *hop, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Why it is broken, and what to do: for the hop that fails. */
void walk_cause(struct walk *walk, const char *format, ...) __attribute__((format(printf, 2, 3)));
void walk_next_step(struct walk *walk, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table below is the path; each of its functions looks at one hop and fills in what it found. The first that fails ends the
 * walk: it also says the likely cause and the next step, because nobody knows more about it at that moment.
 */
#include "health/diagnose.h"

#include "base/cleanup.h"
#include "config/config.h"
#include "health/walk.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>

static const struct {
	const char *name;
	hop_check *check;
} path[DIAGNOSIS_HOPS] = {
	{ "listen", hop_listen }, { "veth", hop_veth },   { "route", hop_route }, { "rules", hop_rules },
	{ "tap", hop_tap },       { "guest", hop_guest }, { "tcp", hop_tcp },     { "http", hop_http },
};

const char *hop_status_name(enum hop_status status)
{
	switch (status) {
	case HOP_OK:
		return "ok";
	case HOP_FAIL:
		return "fail";
	case HOP_SKIPPED:
		return "skipped";
	}
	return "unknown";
}

void hop_subject(struct hop *hop, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(hop->subject, sizeof(hop->subject), format, args);
	va_end(args);
}

enum hop_status hop_say(struct hop *hop, enum hop_status status, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(hop->detail, sizeof(hop->detail), format, args);
	va_end(args);
	return status;
}

void diagnose_walk(const struct diagnose_request *request, struct diagnosis *diagnosis)
{
	char netns_path[CONFIG_PATH_SIZE];
	AUTO_FD int netns_fd = -1;
	struct walk walk = { .request = request, .diagnosis = diagnosis };

	*diagnosis = (struct diagnosis){ 0 };
	config_netns_name(request->config, request->slot, walk.netns);
	config_veth_name(request->config, request->slot, walk.veth);
	netns_fd = open(config_netns_path(request->config, request->slot, netns_path), O_RDONLY | O_CLOEXEC);
	walk.netns_fd = netns_fd;
	for (size_t i = 0; i < DIAGNOSIS_HOPS; i++) {
		struct hop *hop = &diagnosis->hops[i];

		hop->name = path[i].name;
		/* The subject is named even where the hop is not tried: a reader sees what would come next. */
		hop->status = path[i].check(&walk, hop, diagnosis->broken != NULL);
		if (diagnosis->broken)
			hop_skip(hop, "not tried");
		if (diagnosis->broken)
			hop->status = HOP_SKIPPED;
		else if (hop->status == HOP_FAIL)
			diagnosis->broken = hop;
	}
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a hop words its finding; for the files of one hop each.
 */
#include "health/walk.h"

#include <stdarg.h>
#include <stdio.h>

const char *hop_status_name(enum hop_status status)
{
	switch (status) {
	case HOP_OK:
		return "ok";
	case HOP_FAIL:
		return "fail";
	case HOP_IDLE:
		return "idle";
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

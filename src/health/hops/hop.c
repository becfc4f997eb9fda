/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a hop words its finding; for the files of one hop each.
 */
#include "health/walk.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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

const char *hop_age(uint64_t age_ms, char text[static HOP_AGE_SIZE])
{
	uint64_t seconds = age_ms / 1000;

	if (!seconds)
		snprintf(text, HOP_AGE_SIZE, "just now");
	else if (seconds < 120)
		snprintf(text, HOP_AGE_SIZE, "%" PRIu64 " s ago", seconds);
	else if (seconds < 120 * 60)
		snprintf(text, HOP_AGE_SIZE, "%" PRIu64 " min ago", seconds / 60);
	else if (seconds < 48 * 3600)
		snprintf(text, HOP_AGE_SIZE, "%" PRIu64 " h ago", seconds / 3600);
	else
		snprintf(text, HOP_AGE_SIZE, "%" PRIu64 " days ago", seconds / 86400);
	return text;
}

void hop_append(char *text, size_t size, const char *more)
{
	size_t used = strlen(text);

	if (used + strlen(more) < size)
		strcpy(text + used, more);
	else
		strcpy(text + (used + 4 < size ? used : size - 4), "...");
}

void hop_subject_ports(struct hop *hop, uint32_t address, const uint16_t *ports, size_t count)
{
	char more[16];

	addr_ipv4_format(address, hop->subject);
	for (size_t i = 0; i < count; i++) {
		snprintf(more, sizeof(more), "%s%u", i ? ", " : ":", ports[i]);
		hop_append(hop->subject, sizeof(hop->subject), more);
	}
}

enum hop_status hop_say(struct hop *hop, enum hop_status status, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(hop->detail, sizeof(hop->detail), format, args);
	va_end(args);
	return status;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Targets as values: made, compared and written.
 */
#include "forwarder/dial_target.h"

#include <stdio.h>
#include <string.h>

struct fwd_target fwd_target_address(const struct addr *addr, bool proxy_protocol)
{
	return (struct fwd_target){ .place = PLACE_HOST, .to.addr = *addr, .proxy_protocol = proxy_protocol };
}

struct fwd_target fwd_target_path(const char *path, bool proxy_protocol)
{
	struct fwd_target target = { .place = PLACE_HOST,
				     .to.any.sa_family = AF_UNIX,
				     .proxy_protocol = proxy_protocol };

	snprintf(target.to.path.sun_path, sizeof(target.to.path.sun_path), "%s", path);
	return target;
}

static bool fwd_target_same_address(const union addr_socket *a, const union addr_socket *b)
{
	if (a->any.sa_family != b->any.sa_family)
		return false;
	if (a->any.sa_family == AF_UNIX)
		return strcmp(a->path.sun_path, b->path.sun_path) == 0;
	return addr_equal(&a->addr, &b->addr);
}

static bool fwd_target_same_source(const struct addr *a, const struct addr *b)
{
	if (!a->any.sa_family || !b->any.sa_family)
		return a->any.sa_family == b->any.sa_family;
	return addr_equal(a, b);
}

bool fwd_target_equal(const struct fwd_target *a, const struct fwd_target *b)
{
	return a->place == b->place && a->proxy_protocol == b->proxy_protocol &&
	       fwd_target_same_address(&a->to, &b->to) && fwd_target_same_source(&a->source, &b->source);
}

char *fwd_target_format(const struct fwd_target *target, char text[static TARGET_TEXT_SIZE])
{
	if (target->to.any.sa_family != AF_UNIX)
		return addr_format(&target->to.addr, text);
	snprintf(text, TARGET_TEXT_SIZE, "unix:%s", target->to.path.sun_path);
	return text;
}

socklen_t fwd_target_length(const struct fwd_target *target)
{
	return target->to.any.sa_family == AF_UNIX ? sizeof(target->to.path) : addr_length(&target->to.addr);
}

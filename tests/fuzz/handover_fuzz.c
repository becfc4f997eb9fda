/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as the record of a handover; the first one says how many descriptors came with it. Each descriptor is one connection's at
 * most, whatever is read is written and read back as the same, and no connection breaks a rule on which its revival relies.
 */
#include "forwarder/handover_record.h"

#include "fuzz.h"

enum { FDS_MAX = 255, FIRST_FD = 1000 };

static void check_fd(int fd, bool *seen, size_t count)
{
	if (fd < 0)
		return;
	fuzz_check(fd >= FIRST_FD && (size_t)(fd - FIRST_FD) < count && !seen[fd - FIRST_FD]);
	seen[fd - FIRST_FD] = true;
}

static void check_target(const struct frozen *frozen)
{
	const struct fwd_target *target = &frozen->target;
	const char *path = target->to.path.sun_path;

	if (frozen->kind == FROZEN_SERVICE && target->to.any.sa_family == AF_UNIX)
		fuzz_check(path[0] == '/' && strlen(path) < sizeof(target->to.path.sun_path));
	else if (frozen->kind == FROZEN_SERVICE)
		fuzz_check(addr_port(&target->to.addr));
	else
		fuzz_check(!target->to.any.sa_family);
}

static void check_door(const struct frozen *frozen)
{
	switch (frozen->door_kind) {
	case DOOR_HTTP:
	case DOOR_GRPC:
	case DOOR_TCP:
		fuzz_check(frozen->kind == FROZEN_DOOR);
		return;
	}
	fuzz_check(frozen->kind != FROZEN_DOOR && !frozen->door_kind);
}

static void check_connection(const struct frozen *frozen, bool *seen, size_t count)
{
	fuzz_check(frozen->id && frozen->phase >= FROZEN_HELD && frozen->phase <= FROZEN_LINGERING);
	bool lingers = frozen->phase == FROZEN_LINGERING;
	enum which guest = fwd_guest_end(fwd_frozen_direction(frozen));

	fuzz_check((frozen->peers[CLIENT].fd >= 0) == (!lingers || guest == CLIENT));
	fuzz_check((frozen->peers[SERVER].fd >= 0) == (lingers ? guest == SERVER : frozen->phase == FROZEN_OPEN));
	check_target(frozen);
	check_door(frozen);
	for (size_t i = 0; i < 2; i++) {
		const struct frozen_stream *stream = &frozen->streams[i];

		check_fd(frozen->peers[i].fd, seen, count);
		check_fd(stream->pipe_read, seen, count);
		check_fd(stream->pipe_write, seen, count);
		fuzz_check(!stream->rest == !stream->rest_size);
		fuzz_check((stream->pipe_filled > 0) == (stream->pipe_read >= 0));
		fuzz_check(!(stream->rest && stream->pipe_filled));
		fuzz_check(frozen->phase == FROZEN_OPEN || (!stream->rest && !stream->pipe_filled));
	}
}

static size_t check_all(const struct frozen_list *routes, bool *seen, size_t count)
{
	const struct frozen_route *route;
	size_t connections = 0;

	STAILQ_FOREACH(route, routes, next)
	{
		fuzz_check(strlen(route->id) <= FROZEN_ID_MAX && route->count > 0);
		connections += route->count;
		for (size_t i = 0; i < route->count; i++)
			check_connection(&route->items[i], seen, count);
	}
	return connections;
}

static void forget(struct frozen_list *routes)
{
	struct frozen_route *route;

	while ((route = STAILQ_FIRST(routes))) {
		STAILQ_REMOVE_HEAD(routes, next);
		fwd_frozen_route_free(route);
	}
}

/* What was read is written, and that is read: it is written as the same bytes. */
static void check_again(const struct frozen_list *routes, const struct record_finding *first)
{
	struct record_bytes bytes = { 0 }, again = { 0 };
	struct record_fds fds = { 0 }, fds_again = { 0 };
	struct frozen_list read = STAILQ_HEAD_INITIALIZER(read);
	struct record_finding finding;
	int copy[FDS_MAX];

	fuzz_check(fwd_record_write(routes, NULL, &first->head, &bytes, &fds) == 0);
	fuzz_check(fds.count <= FDS_MAX);
	if (fds.count)
		memcpy(copy, fds.items, fds.count * sizeof(copy[0]));
	fwd_record_read(bytes.items, bytes.count, copy, fds.count, &read, &finding);
	fuzz_check(finding.read == first->read && !finding.lost && !finding.problem);
	fuzz_check(fwd_record_write(&read, NULL, &finding.head, &again, &fds_again) == 0);
	fuzz_check(again.count == bytes.count && !memcmp(again.items, bytes.items, bytes.count));
	forget(&read);
	vec_free(&bytes);
	vec_free(&again);
	vec_free(&fds);
	vec_free(&fds_again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frozen_list routes = STAILQ_HEAD_INITIALIZER(routes);
	struct record_finding finding;
	int fds[FDS_MAX + 1];
	bool seen[FDS_MAX + 1] = { 0 };
	size_t count;

	if (!size)
		return 0;
	count = *data;
	for (size_t i = 0; i < count; i++)
		fds[i] = FIRST_FD + (int)i;
	fwd_record_read(data + 1, size - 1, fds, count, &routes, &finding);
	fuzz_check(check_all(&routes, seen, count) == finding.read);
	for (size_t i = 0; i < count; i++)
		fuzz_check((fds[i] < 0) == seen[i]);
	check_again(&routes, &finding);
	forget(&routes);
	return 0;
}

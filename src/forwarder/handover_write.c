/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing a record. The size of a part is filled in when its contents are there. Want of memory is remembered, and asked for once,
 * at the end.
 *
 * With WEFT_HANDOVER_NEXT, which only tests define, the record is of the next minor version: it has parts and numbers that this one
 * does not know.
 */
#include "forwarder/handover_record.h"
#include "forwarder/record_part.h"

#include <endian.h>
#include <string.h>

struct record_writer {
	struct record_bytes *bytes;
	struct record_fds *fds;
	uint32_t connections;
	bool failed; /* there is no memory */
};

#ifdef WEFT_HANDOVER_NEXT
enum { NEXT = 1 };
#else
enum { NEXT = 0 };
#endif

/* ---- Numbers ---- */

static void fwd_record_put(struct record_writer *writer, const void *data, size_t size)
{
	struct record_bytes *bytes = writer->bytes;

	if (writer->failed || vec_reserve(bytes, bytes->count + size) < 0) {
		writer->failed = true;
		return;
	}
	memcpy(bytes->items + bytes->count, data, size);
	bytes->count += size;
}

static void fwd_record_put8(struct record_writer *writer, uint8_t value)
{
	fwd_record_put(writer, &value, sizeof(value));
}

static void fwd_record_put16(struct record_writer *writer, uint16_t value)
{
	value = htole16(value);
	fwd_record_put(writer, &value, sizeof(value));
}

static void fwd_record_put32(struct record_writer *writer, uint32_t value)
{
	value = htole32(value);
	fwd_record_put(writer, &value, sizeof(value));
}

static void fwd_record_put64(struct record_writer *writer, uint64_t value)
{
	value = htole64(value);
	fwd_record_put(writer, &value, sizeof(value));
}

/* The number of FD among the descriptors, of which it is one from now on. */
static void fwd_record_put_fd(struct record_writer *writer, int fd)
{
	int *item;

	if (fd < 0) {
		fwd_record_put32(writer, RECORD_NO_FD);
		return;
	}
	item = vec_push(writer->fds);
	if (!item) {
		writer->failed = true;
		return;
	}
	*item = fd;
	fwd_record_put32(writer, (uint32_t)writer->fds->count - 1);
}

/* ---- Parts ---- */

/* Returns where it begins, for fwd_record_end(). */
static size_t fwd_record_begin(struct record_writer *writer, uint16_t tag, uint16_t flags)
{
	size_t start = writer->bytes->count;

	fwd_record_put16(writer, tag);
	fwd_record_put16(writer, flags);
	fwd_record_put32(writer, 0);
	return start;
}

static void fwd_record_end(struct record_writer *writer, size_t start)
{
	uint32_t size;

	if (writer->failed)
		return;
	size = htole32((uint32_t)(writer->bytes->count - start - PART_HEADER_SIZE));
	memcpy(writer->bytes->items + start + 4, &size, sizeof(size));
}

/* What only the next version writes, and this one skips. */
static void fwd_record_put_unknown(struct record_writer *writer)
{
	if (!NEXT)
		return;

	size_t start = fwd_record_begin(writer, TAG_UNKNOWN, 0);

	fwd_record_put(writer, "of the next version", 19);
	fwd_record_end(writer, start);
}

static void fwd_record_put_unknown_number(struct record_writer *writer)
{
	if (NEXT)
		fwd_record_put64(writer, 0x7fffffffffffffffU);
}

/* ---- A connection ---- */

static void fwd_record_put_address(struct record_writer *writer, const struct addr *addr)
{
	uint8_t ip[16] = { 0 };
	bool ipv6 = addr->any.sa_family == AF_INET6;

	if (ipv6)
		memcpy(ip, &addr->in6.sin6_addr, 16);
	else
		memcpy(ip, &addr->in.sin_addr, 4);
	fwd_record_put16(writer, addr->any.sa_family ? (ipv6 ? 6 : 4) : 0);
	fwd_record_put16(writer, addr_port(addr));
	fwd_record_put32(writer, ipv6 ? addr->in6.sin6_scope_id : 0);
	fwd_record_put(writer, ip, sizeof(ip));
}

static void fwd_record_put_ends(struct record_writer *writer, const struct frozen *frozen)
{
	size_t start = fwd_record_begin(writer, TAG_CLIENT, 0);

	fwd_record_put_address(writer, &frozen->client);
	fwd_record_end(writer, start);

	start = fwd_record_begin(writer, TAG_ENDPOINT, 0);
	fwd_record_put_address(writer, &frozen->listen);
	fwd_record_put16(writer, frozen->guest_port);
	fwd_record_put16(writer, frozen->proxy_protocol ? ENDPOINT_PROXY : 0);
	fwd_record_end(writer, start);
}

static void fwd_record_put_target(struct record_writer *writer, const struct fwd_target *target)
{
	size_t start = fwd_record_begin(writer, TAG_TARGET, PART_NEEDED), path_size = 0;
	bool source = target->source.any.sa_family;

	if (target->to.any.sa_family == AF_UNIX)
		path_size = strlen(target->to.path.sun_path);
	fwd_record_put16(writer, (uint16_t)target->place);
	fwd_record_put16(writer, (target->proxy_protocol ? TARGET_PROXY : 0) | (source ? TARGET_SOURCE : 0));
	fwd_record_put32(writer, (uint32_t)path_size);
	if (path_size)
		fwd_record_put(writer, target->to.path.sun_path, path_size);
	else
		fwd_record_put_address(writer, &target->to.addr);
	if (source)
		fwd_record_put_address(writer, &target->source);
	fwd_record_put_unknown_number(writer);
	fwd_record_end(writer, start);
}

/* The letter of the kind (8 bits), flags (8), the token (32 bytes). */
static void fwd_record_put_door(struct record_writer *writer, const struct frozen *frozen)
{
	size_t start = fwd_record_begin(writer, TAG_DOOR, PART_NEEDED);

	fwd_record_put8(writer, (uint8_t)frozen->door_kind);
	fwd_record_put8(writer, frozen->door_token.given ? DOOR_TOKEN_GIVEN : 0);
	fwd_record_put(writer, frozen->door_token.sha256, sizeof(frozen->door_token.sha256));
	fwd_record_put_unknown_number(writer);
	fwd_record_end(writer, start);
}

static void fwd_record_put_facts(struct record_writer *writer, const struct frozen *frozen)
{
	size_t start = fwd_record_begin(writer, TAG_FACTS, 0);

	fwd_record_put8(writer, (uint8_t)frozen->kind);
	fwd_record_put8(writer, (uint8_t)frozen->phase);
	fwd_record_put16(writer, frozen->leaving ? CONNECTION_LEAVING : 0);
	fwd_record_put16(writer, frozen->dials);
	fwd_record_put16(writer, (uint16_t)frozen->error);
	fwd_record_put64(writer, frozen->id);
	fwd_record_put64(writer, frozen->age_us);
	fwd_record_put64(writer, frozen->connect_ms);
	fwd_record_put64(writer, frozen->idle_ms);
	fwd_record_put64(writer, frozen->half_closed_ms);
	fwd_record_put64(writer, frozen->settle_ms);
	fwd_record_put64(writer, frozen->deadline_ms);
	fwd_record_put64(writer, frozen->refused_ms);
	fwd_record_put_unknown_number(writer);
	fwd_record_end(writer, start);
}

static void fwd_record_put_peer(struct record_writer *writer, const struct frozen *frozen, enum which which)
{
	const struct frozen_peer *peer = &frozen->peers[which];

	if (peer->fd < 0)
		return;

	size_t start = fwd_record_begin(writer, TAG_PEER, 0);

	fwd_record_put16(writer, (uint16_t)which);
	fwd_record_put16(writer, (peer->special ? PEER_SPECIAL : 0) | (peer->ended ? PEER_ENDED : 0));
	fwd_record_put_fd(writer, peer->fd);
	fwd_record_put64(writer, peer->cookie);
	fwd_record_end(writer, start);
}

static void fwd_record_put_stream(struct record_writer *writer, const struct frozen *frozen, enum which from)
{
	const struct frozen_stream *stream = &frozen->streams[from];
	size_t start = fwd_record_begin(writer, TAG_STREAM, 0);

	fwd_record_put16(writer, (uint16_t)from);
	fwd_record_put16(writer, (stream->bulk ? STREAM_BULK : 0) | (stream->bounded ? STREAM_BOUNDED : 0) |
				     (stream->finished ? STREAM_FINISHED : 0));
	fwd_record_put64(writer, stream->bytes);
	fwd_record_put_fd(writer, stream->pipe_read);
	fwd_record_put_fd(writer, stream->pipe_write);
	fwd_record_put32(writer, stream->pipe_filled);
	fwd_record_put64(writer, stream->pipe_inode);
	fwd_record_end(writer, start);
	if (!stream->rest)
		return;
	start = fwd_record_begin(writer, TAG_REST, PART_NEEDED);
	fwd_record_put16(writer, (uint16_t)from);
	fwd_record_put(writer, stream->rest, stream->rest_size);
	fwd_record_end(writer, start);
}

static void fwd_record_put_connection(struct record_writer *writer, const struct frozen *frozen)
{
	size_t start = fwd_record_begin(writer, TAG_CONNECTION, 0);

	writer->connections++;
	fwd_record_put_facts(writer, frozen);
	fwd_record_put_unknown(writer);
	fwd_record_put_ends(writer, frozen);
	if (frozen->kind == FROZEN_SERVICE)
		fwd_record_put_target(writer, &frozen->target);
	if (frozen->kind == FROZEN_DOOR)
		fwd_record_put_door(writer, frozen);
	fwd_record_put_peer(writer, frozen, CLIENT);
	fwd_record_put_peer(writer, frozen, SERVER);
	fwd_record_put_stream(writer, frozen, CLIENT);
	fwd_record_put_stream(writer, frozen, SERVER);
	fwd_record_end(writer, start);
}

/* ---- A route ---- */

static void fwd_record_put_route(struct record_writer *writer, const struct frozen_route *route)
{
	size_t start = fwd_record_begin(writer, TAG_ROUTE, 0), facts;

	facts = fwd_record_begin(writer, TAG_ROUTE_FACTS, 0);
	fwd_record_put32(writer, route->slot);
	fwd_record_put32(writer, route->paused ? ROUTE_PAUSED : 0);
	fwd_record_put64(writer, route->netns_device);
	fwd_record_put64(writer, route->netns_inode);
	fwd_record_put64(writer, (uint64_t)route->carrier_downs);
	fwd_record_put64(writer, route->pace);
	fwd_record_put32(writer, route->limits.connect_deadline_ms);
	fwd_record_put32(writer, route->limits.idle_ms);
	fwd_record_put32(writer, route->limits.half_closed_ms);
	fwd_record_put32(writer, route->limits.keepalive_ms);
	fwd_record_put_unknown_number(writer);
	fwd_record_end(writer, facts);
	facts = fwd_record_begin(writer, TAG_ROUTE_ID, 0);
	fwd_record_put(writer, route->id, strlen(route->id));
	fwd_record_end(writer, facts);
	fwd_record_put_unknown(writer);
	for (size_t i = 0; i < route->count; i++)
		fwd_record_put_connection(writer, &route->items[i]);
	fwd_record_end(writer, start);
}

/* ---- The whole ---- */

enum { AT_TOTAL = 16, AT_COUNTS = RECORD_HEADER_SIZE + PART_HEADER_SIZE + 16 };

static void fwd_record_put_head(struct record_writer *writer, const struct record_head *head)
{
	size_t start;

	fwd_record_put(writer, RECORD_MAGIC, RECORD_MAGIC_SIZE);
	fwd_record_put16(writer, RECORD_MAJOR);
	fwd_record_put16(writer, RECORD_MINOR + NEXT);
	fwd_record_put32(writer, 0);
	fwd_record_put64(writer, 0);
	start = fwd_record_begin(writer, TAG_HEAD, 0);
	fwd_record_put64(writer, head->frozen_ms);
	fwd_record_put64(writer, head->last_id);
	fwd_record_put32(writer, 0);
	fwd_record_put32(writer, 0);
	fwd_record_put_unknown_number(writer);
	fwd_record_end(writer, start);
	fwd_record_put_unknown(writer);
}

static void fwd_record_fill_in(struct record_writer *writer)
{
	uint64_t total = htole64(writer->bytes->count);
	uint32_t counts[2] = { htole32(writer->connections), htole32((uint32_t)writer->fds->count) };

	memcpy(writer->bytes->items + AT_TOTAL, &total, sizeof(total));
	memcpy(writer->bytes->items + AT_COUNTS, counts, sizeof(counts));
}

static void fwd_record_put_routes(struct record_writer *writer, const struct frozen_list *routes)
{
	const struct frozen_route *route;

	STAILQ_FOREACH(route, routes, next)
	fwd_record_put_route(writer, route);
}

int fwd_record_write(const struct frozen_list *routes, const struct frozen_list *more, const struct record_head *head,
		     struct record_bytes *bytes, struct record_fds *fds)
{
	struct record_writer writer = { .bytes = bytes, .fds = fds };

	fwd_record_put_head(&writer, head);
	fwd_record_put_routes(&writer, routes);
	if (more)
		fwd_record_put_routes(&writer, more);
	if (writer.failed)
		return -1;
	fwd_record_fill_in(&writer);
	return 0;
}

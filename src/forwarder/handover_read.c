/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading a record, which is input although root wrote it: each size and number is checked, and nothing is guessed. A connection is
 * read whole and judged before its descriptors become its own, so that one that cannot be used leaves them where they were.
 *
 * Where bytes are cut off, the last parts end with the file, and what lies whole before that is used.
 */
#include "forwarder/handover_record.h"
#include "forwarder/record_cursor.h"
#include "forwarder/record_door.h"
#include "forwarder/record_part.h"
#include "forwarder/record_target.h"

#include <string.h>

#define RECORD_LONG_MS (100ULL * 365 * 24 * 3600 * 1000) /* more is a damage */

struct record_reader {
	int *fds;
	size_t fd_count;
	struct record_finding *finding;
	uint64_t seen; /* parts of the connection at hand */
};

/* A bit for a part of the connection, and side WHICH. */
#define SEEN(tag, which) (1ULL << (2 * ((tag) % 32) + (which)))

static void fwd_record_complain(struct record_reader *reader, const char *problem)
{
	if (!reader->finding->problem)
		reader->finding->problem = problem;
}

/* ---- The parts of a connection: false where one cannot be right ---- */

static bool fwd_record_read_endpoint(struct record_cursor *cursor, struct frozen *frozen)
{
	uint16_t flags;

	if (!fwd_record_get_address(cursor, &frozen->listen, false))
		return false;
	frozen->guest_port = fwd_record_get16(cursor);
	flags = fwd_record_get16(cursor);
	frozen->proxy_protocol = flags & ENDPOINT_PROXY;
	return !cursor->bad && frozen->guest_port && !(flags & ~ENDPOINT_PROXY);
}

static bool fwd_record_knows_kind(uint8_t kind)
{
	return kind == FROZEN_ENDPOINT || kind == FROZEN_DOOR || kind == FROZEN_SERVICE;
}

static bool fwd_record_read_facts(struct record_cursor *cursor, struct frozen *frozen)
{
	uint8_t kind = fwd_record_get8(cursor), phase = fwd_record_get8(cursor);
	uint16_t flags = fwd_record_get16(cursor);

	frozen->kind = (enum frozen_kind)kind;
	frozen->phase = (enum frozen_phase)phase;
	frozen->leaving = flags & CONNECTION_LEAVING;
	frozen->dials = fwd_record_get16(cursor);
	frozen->error = fwd_record_get16(cursor);
	frozen->id = fwd_record_get64(cursor);
	frozen->age_us = fwd_record_get64(cursor);
	frozen->connect_ms = fwd_record_get64(cursor);
	frozen->idle_ms = fwd_record_get64(cursor);
	frozen->half_closed_ms = fwd_record_get64(cursor);
	frozen->settle_ms = fwd_record_get64(cursor);
	frozen->deadline_ms = fwd_record_get64(cursor);
	frozen->refused_ms = fwd_record_get64(cursor);
	return !cursor->bad && fwd_record_knows_kind(kind) && phase >= FROZEN_HELD && phase <= FROZEN_LINGERING &&
	       !(flags & ~CONNECTION_LEAVING) && frozen->id && frozen->id <= INT64_MAX;
}

/* An index of a descriptor becomes that descriptor in the end: fwd_record_claim(). */
static int fwd_record_get_fd(struct record_cursor *cursor)
{
	uint32_t index = fwd_record_get32(cursor);

	if (index == RECORD_NO_FD)
		return -1;
	if (index > INT32_MAX)
		cursor->bad = true;
	return cursor->bad ? -1 : (int)index;
}

/* Which of the two sides: there is one part of a tag for each. */
static bool fwd_record_read_which(struct record_reader *reader, struct record_cursor *cursor, uint16_t tag,
				  enum which *which)
{
	uint16_t number = fwd_record_get16(cursor);
	uint64_t bit = SEEN(tag, number & 1);

	if (cursor->bad || number > SERVER || reader->seen & bit)
		return false;
	reader->seen |= bit;
	*which = number ? SERVER : CLIENT;
	return true;
}

static bool fwd_record_read_peer(struct record_reader *reader, struct record_cursor *cursor, struct frozen *frozen)
{
	enum which which;

	if (!fwd_record_read_which(reader, cursor, TAG_PEER, &which))
		return false;
	struct frozen_peer *peer = &frozen->peers[which];
	uint16_t flags = fwd_record_get16(cursor);

	peer->special = flags & PEER_SPECIAL;
	peer->ended = flags & PEER_ENDED;
	peer->fd = fwd_record_get_fd(cursor);
	peer->cookie = fwd_record_get64(cursor);
	return !cursor->bad && !(flags & ~(PEER_SPECIAL | PEER_ENDED)) && peer->fd >= 0;
}

static bool fwd_record_read_stream(struct record_reader *reader, struct record_cursor *cursor, struct frozen *frozen)
{
	enum which from;

	if (!fwd_record_read_which(reader, cursor, TAG_STREAM, &from))
		return false;
	struct frozen_stream *stream = &frozen->streams[from];
	uint16_t flags = fwd_record_get16(cursor);
	bool piped;

	stream->bulk = flags & STREAM_BULK;
	stream->bounded = flags & STREAM_BOUNDED;
	stream->finished = flags & STREAM_FINISHED;
	stream->bytes = fwd_record_get64(cursor);
	stream->pipe_read = fwd_record_get_fd(cursor);
	stream->pipe_write = fwd_record_get_fd(cursor);
	stream->pipe_filled = fwd_record_get32(cursor);
	stream->pipe_inode = fwd_record_get64(cursor);
	piped = stream->pipe_filled > 0;
	return !cursor->bad && !(flags & ~(STREAM_BULK | STREAM_BOUNDED | STREAM_FINISHED)) &&
	       stream->pipe_filled <= FROZEN_PIPE_MAX && piped == (stream->pipe_read >= 0) &&
	       piped == (stream->pipe_write >= 0);
}

static bool fwd_record_read_rest(struct record_reader *reader, struct record_cursor *cursor, struct frozen *frozen)
{
	enum which from;
	size_t size;

	if (!fwd_record_read_which(reader, cursor, TAG_REST, &from))
		return false;
	struct frozen_stream *stream = &frozen->streams[from];

	size = fwd_record_left(cursor);
	if (!size || size > FROZEN_REST_MAX)
		return false;
	stream->rest = malloc(size);
	if (!stream->rest) {
		fwd_record_complain(reader, "no memory");
		return false;
	}
	stream->rest_size = (uint32_t)size;
	fwd_record_get(cursor, stream->rest, size);
	return true;
}

/* Parts that have no side are there once, too. */
static bool fwd_record_is_first(struct record_reader *reader, uint16_t tag)
{
	uint64_t bit = SEEN(tag, 0);

	if (reader->seen & bit)
		return false;
	reader->seen |= bit;
	return true;
}

static bool fwd_record_read_part(struct record_reader *reader, struct record_piece *piece, struct frozen *frozen)
{
	struct record_cursor *cursor = &piece->contents;

	switch (piece->tag) {
	case TAG_FACTS:
		return fwd_record_is_first(reader, piece->tag) && fwd_record_read_facts(cursor, frozen);
	case TAG_CLIENT:
		return fwd_record_is_first(reader, piece->tag) && fwd_record_read_client(cursor, &frozen->client);
	case TAG_ENDPOINT:
		return fwd_record_is_first(reader, piece->tag) && fwd_record_read_endpoint(cursor, frozen);
	case TAG_TARGET:
		return fwd_record_is_first(reader, piece->tag) && fwd_record_read_target(cursor, &frozen->target);
	case TAG_DOOR:
		return fwd_record_is_first(reader, piece->tag) && fwd_record_read_door(cursor, frozen);
	case TAG_PEER:
		return fwd_record_read_peer(reader, cursor, frozen);
	case TAG_STREAM:
		return fwd_record_read_stream(reader, cursor, frozen);
	case TAG_REST:
		return fwd_record_read_rest(reader, cursor, frozen);
	default:
		return !(piece->flags & PART_NEEDED);
	}
}

/* ---- A connection as a whole ---- */

static bool fwd_record_is_short(uint64_t time_ms)
{
	return time_ms == FROZEN_NEVER || time_ms <= RECORD_LONG_MS;
}

static bool fwd_record_times_are_sound(const struct frozen *frozen)
{
	return frozen->age_us / 1000 <= RECORD_LONG_MS && frozen->connect_ms <= RECORD_LONG_MS &&
	       frozen->idle_ms <= RECORD_LONG_MS && fwd_record_is_short(frozen->half_closed_ms) &&
	       fwd_record_is_short(frozen->settle_ms) && frozen->deadline_ms <= RECORD_LONG_MS &&
	       fwd_record_is_short(frozen->refused_ms);
}

/* Nothing is to be sent behind a FIN, and of a rest and a pipe nobody knows which comes first. */
static bool fwd_record_stream_is_sound(const struct frozen_stream *stream)
{
	return !(stream->rest && stream->pipe_filled) && !(stream->finished && (stream->rest || stream->pipe_filled));
}

static bool fwd_record_stream_is_empty(const struct frozen_stream *stream)
{
	return !stream->rest && !stream->pipe_filled;
}

/* The client of the door connected to HAProxy, which may not know it. */
static bool fwd_record_client_is_sound(const struct frozen *frozen)
{
	if (frozen->kind == FROZEN_DOOR)
		return true;
	return frozen->client.any.sa_family == frozen->listen.any.sa_family && addr_port(&frozen->client);
}

static bool fwd_record_is_sound(const struct frozen *frozen)
{
	const struct frozen_peer *peers = frozen->peers;
	const struct frozen_stream *streams = frozen->streams;
	enum which guest = fwd_guest_end(fwd_frozen_direction(frozen));
	bool empty = fwd_record_stream_is_empty(&streams[CLIENT]) && fwd_record_stream_is_empty(&streams[SERVER]);

	if (!fwd_record_times_are_sound(frozen) || !fwd_record_client_is_sound(frozen))
		return false;
	switch (frozen->phase) {
	case FROZEN_HELD:
		return peers[CLIENT].fd >= 0 && peers[SERVER].fd < 0 && empty;
	case FROZEN_OPEN:
		return peers[CLIENT].fd >= 0 && peers[SERVER].fd >= 0 && fwd_record_stream_is_sound(&streams[CLIENT]) &&
		       fwd_record_stream_is_sound(&streams[SERVER]) &&
		       !(streams[CLIENT].finished && streams[SERVER].finished);
	case FROZEN_LINGERING:
		return peers[guest].fd >= 0 && peers[!guest].fd < 0 && empty;
	}
	return false;
}

enum { CONNECTION_FDS = 6 };

static void fwd_record_list_fds(struct frozen *frozen, int *fds[static CONNECTION_FDS])
{
	for (size_t i = 0; i < 2; i++) {
		fds[3 * i] = &frozen->peers[i].fd;
		fds[3 * i + 1] = &frozen->streams[i].pipe_read;
		fds[3 * i + 2] = &frozen->streams[i].pipe_write;
	}
}

/* Whether each of its descriptors is there, and is no other's; then they are its own. */
static bool fwd_record_claim(struct record_reader *reader, struct frozen *frozen)
{
	int *fds[CONNECTION_FDS];

	fwd_record_list_fds(frozen, fds);
	for (size_t i = 0; i < CONNECTION_FDS; i++) {
		int index = *fds[i];

		if (index >= 0 && ((size_t)index >= reader->fd_count || reader->fds[index] < 0))
			return false;
		for (size_t j = 0; j < i; j++) {
			if (index >= 0 && *fds[j] == index)
				return false;
		}
	}
	for (size_t i = 0; i < CONNECTION_FDS; i++) {
		int index = *fds[i];

		if (index < 0)
			continue;
		*fds[i] = reader->fds[index];
		reader->fds[index] = -1;
	}
	return true;
}

/* Those that each connection has, and those of its kind. */
static bool fwd_record_has_all(uint64_t seen, const struct frozen *frozen)
{
	const uint64_t needed = SEEN(TAG_FACTS, 0) | SEEN(TAG_CLIENT, 0) | SEEN(TAG_ENDPOINT, 0) |
				SEEN(TAG_STREAM, CLIENT) | SEEN(TAG_STREAM, SERVER);
	bool has_target = seen & SEEN(TAG_TARGET, 0), has_door = seen & SEEN(TAG_DOOR, 0);

	return (seen & needed) == needed && has_target == (frozen->kind == FROZEN_SERVICE) &&
	       has_door == (frozen->kind == FROZEN_DOOR);
}

static bool fwd_record_read_parts(struct record_reader *reader, struct record_cursor contents, struct frozen *frozen)
{
	struct record_piece piece;

	reader->seen = 0;
	while (fwd_record_next(&contents, &piece)) {
		if (piece.cut || !fwd_record_read_part(reader, &piece, frozen)) {
			fwd_record_complain(reader, "a connection that this version cannot read");
			return false;
		}
	}
	if (contents.bad || !fwd_record_has_all(reader->seen, frozen) || !fwd_record_is_sound(frozen)) {
		fwd_record_complain(reader, "a connection whose parts do not agree");
		return false;
	}
	if (!fwd_record_claim(reader, frozen)) {
		fwd_record_complain(reader, "a descriptor that is missing, or of two connections");
		return false;
	}
	return true;
}

static void fwd_record_read_connection(struct record_reader *reader, struct record_cursor contents,
				       struct frozen_route *route)
{
	struct frozen *frozen = vec_push(route);

	if (!frozen) {
		fwd_record_complain(reader, "no memory");
		reader->finding->lost++;
		return;
	}
	fwd_frozen_init(frozen);
	if (fwd_record_read_parts(reader, contents, frozen)) {
		reader->finding->read++;
		return;
	}
	fwd_frozen_release(frozen);
	route->count--;
	reader->finding->lost++;
}

/* ---- A route ---- */

static bool fwd_record_read_route_facts(struct record_cursor *cursor, struct frozen_route *route)
{
	uint32_t flags;

	route->slot = fwd_record_get32(cursor);
	flags = fwd_record_get32(cursor);
	route->paused = flags & ROUTE_PAUSED;
	route->netns_device = fwd_record_get64(cursor);
	route->netns_inode = fwd_record_get64(cursor);
	route->carrier_downs = (int64_t)fwd_record_get64(cursor);
	route->pace = fwd_record_get64(cursor);
	route->limits.connect_deadline_ms = fwd_record_get32(cursor);
	route->limits.idle_ms = fwd_record_get32(cursor);
	route->limits.half_closed_ms = fwd_record_get32(cursor);
	route->limits.keepalive_ms = fwd_record_get32(cursor);
	return !cursor->bad && !(flags & ~ROUTE_PAUSED) && route->carrier_downs >= -1;
}

static bool fwd_record_read_route_id(struct record_cursor *cursor, struct frozen_route *route)
{
	size_t size = fwd_record_left(cursor);

	if (size > FROZEN_ID_MAX || memchr(cursor->at, '\0', size))
		return false;
	memcpy(route->id, cursor->at, size);
	route->id[size] = '\0';
	return true;
}

/* All but its connections. */
static bool fwd_record_read_route_itself(struct record_cursor contents, struct frozen_route *route)
{
	struct record_piece piece;
	bool facts = false, id = false;

	while (fwd_record_next(&contents, &piece)) {
		switch (piece.tag) {
		case TAG_ROUTE_FACTS:
			if (facts || piece.cut || !fwd_record_read_route_facts(&piece.contents, route))
				return false;
			facts = true;
			break;
		case TAG_ROUTE_ID:
			if (id || piece.cut || !fwd_record_read_route_id(&piece.contents, route))
				return false;
			id = true;
			break;
		case TAG_CONNECTION:
			break;
		default:
			if (piece.flags & PART_NEEDED)
				return false;
			break;
		}
	}
	return facts && id;
}

static void fwd_record_read_connections(struct record_reader *reader, struct record_cursor contents,
					struct frozen_route *route)
{
	struct record_piece piece;

	while (fwd_record_next(&contents, &piece)) {
		if (piece.tag == TAG_CONNECTION && !piece.cut)
			fwd_record_read_connection(reader, piece.contents, route);
	}
}

static void fwd_record_read_route(struct record_reader *reader, struct record_cursor contents,
				  struct frozen_list *routes)
{
	struct frozen_route *route = fwd_frozen_route_new();

	if (!route) {
		fwd_record_complain(reader, "no memory");
		return;
	}
	if (fwd_record_read_route_itself(contents, route))
		fwd_record_read_connections(reader, contents, route);
	else
		fwd_record_complain(reader, "a sandbox that this version cannot read");
	if (route->count)
		STAILQ_INSERT_TAIL(routes, route, next);
	else
		fwd_frozen_route_free(route);
}

/* ---- The whole ---- */

/* The contents of a record that this version may read. */
static bool fwd_record_open(struct record_reader *reader, const uint8_t *bytes, size_t size,
			    struct record_cursor *contents)
{
	struct record_cursor cursor = { .at = bytes, .end = bytes + size };
	char magic[RECORD_MAGIC_SIZE];
	uint64_t total;

	fwd_record_get(&cursor, magic, sizeof(magic));
	if (cursor.bad || memcmp(magic, RECORD_MAGIC, sizeof(magic)) != 0) {
		fwd_record_complain(reader, "this is no record of weft");
		return false;
	}
	if (fwd_record_get16(&cursor) != RECORD_MAJOR) {
		fwd_record_complain(reader, "it is of a version that this one cannot read");
		return false;
	}
	fwd_record_get16(&cursor);
	fwd_record_get32(&cursor);
	total = fwd_record_get64(&cursor);
	if (cursor.bad || total < RECORD_HEADER_SIZE) {
		fwd_record_complain(reader, "its header is damaged");
		return false;
	}
	if (total > size)
		fwd_record_complain(reader, "it is cut off");
	else if (total < size)
		fwd_record_complain(reader, "it is longer than it says");
	*contents = (struct record_cursor){ .at = cursor.at, .end = bytes + (total < size ? total : size) };
	return true;
}

static bool fwd_record_read_head(struct record_cursor *contents, struct record_head *head)
{
	struct record_piece piece;
	struct record_cursor *cursor = &piece.contents;

	if (!fwd_record_next(contents, &piece) || piece.tag != TAG_HEAD || piece.cut)
		return false;
	head->frozen_ms = fwd_record_get64(cursor);
	head->last_id = fwd_record_get64(cursor);
	head->connections = fwd_record_get32(cursor);
	head->fds = fwd_record_get32(cursor);
	return !cursor->bad && head->connections <= RECORD_CONNECTIONS_MAX && head->frozen_ms <= RECORD_LONG_MS &&
	       head->last_id <= INT64_MAX;
}

/* Whether each part of the file, those of routes left aside, may be skipped or is known. */
static bool fwd_record_is_understood(struct record_cursor contents)
{
	struct record_piece piece;

	while (fwd_record_next(&contents, &piece)) {
		if (piece.tag != TAG_ROUTE && piece.flags & PART_NEEDED)
			return false;
	}
	return true;
}

static void fwd_record_read_contents(struct record_reader *reader, struct record_cursor contents,
				     struct frozen_list *routes)
{
	struct record_piece piece;

	if (!fwd_record_is_understood(contents)) {
		fwd_record_complain(reader, "it has a part that this version must know, and does not");
		return;
	}
	while (fwd_record_next(&contents, &piece)) {
		if (piece.tag == TAG_ROUTE)
			fwd_record_read_route(reader, piece.contents, routes);
	}
	if (contents.bad)
		fwd_record_complain(reader, "a part goes beyond its end");
}

void fwd_record_read(const uint8_t *bytes, size_t size, int *fds, size_t count, struct frozen_list *routes,
		     struct record_finding *finding)
{
	struct record_reader reader = { .fds = fds, .fd_count = count, .finding = finding };
	struct record_cursor contents;
	struct record_head *head = &finding->head;
	size_t most;

	*finding = (struct record_finding){ 0 };
	if (!fwd_record_open(&reader, bytes, size, &contents))
		return;
	if (!fwd_record_read_head(&contents, head)) {
		*head = (struct record_head){ 0 };
		fwd_record_complain(&reader, "its header is damaged");
		return;
	}
	if (head->fds != count)
		fwd_record_complain(&reader, "it counts other descriptors than came with it");
	fwd_record_read_contents(&reader, contents, routes);
	if (head->connections != finding->read + finding->lost)
		fwd_record_complain(&reader, "it counts other connections than it has");
	/* Some cannot even be seen; but each has a descriptor at least. */
	most = head->connections < count ? head->connections : count;
	if (most > finding->read + finding->lost)
		finding->lost = most - finding->read;
}

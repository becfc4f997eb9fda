/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A queue holds one list: its messages in order, and behind them additions, each of which is whole by itself. Or it holds a parcel,
 * whose messages are counted as a list's; an addition behind it is its burden (fd_parcel.h). A run that is killed leaves a queue half
 * written, half drained, or whole. A list counts only from its first message to its last, and its size fixes how many descriptors
 * each message has. All numbers are little-endian:
 *
 *	0 "weft-fds"   8 version 1 (16 bits)   10 kind, enum fd_kind   12 index   14 count
 *	16 run   24 generation   32 couple   36 total   40 zero   44 checksum of the bytes before it
 *
 * The bytes come back from the service manager, who is trusted, and may be those of another version of weft: whatever is not
 * exactly as above is none of ours.
 */
#include "daemon/fd_queue.h"

#include <endian.h>
#include <string.h>

enum {
	FORMAT = 1,
	AT_VERSION = 8,
	AT_KIND = 10,
	AT_INDEX = 12,
	AT_COUNT = 14,
	AT_RUN = 16,
	AT_GENERATION = 24,
	AT_COUPLE = 32,
	AT_TOTAL = 36,
	AT_ZERO = 40,
	AT_CHECKSUM = 44,
};

static const char magic[] = "weft-fds";

/* FNV-1a. */
static uint32_t daemon_fd_queue_checksum(const uint8_t *bytes, size_t size)
{
	uint32_t sum = 2166136261U;

	for (size_t i = 0; i < size; i++)
		sum = (sum ^ bytes[i]) * 16777619U;
	return sum;
}

static void daemon_fd_queue_put16(uint8_t *bytes, uint16_t value)
{
	value = htole16(value);
	memcpy(bytes, &value, sizeof(value));
}

static void daemon_fd_queue_put32(uint8_t *bytes, uint32_t value)
{
	value = htole32(value);
	memcpy(bytes, &value, sizeof(value));
}

static void daemon_fd_queue_put64(uint8_t *bytes, uint64_t value)
{
	value = htole64(value);
	memcpy(bytes, &value, sizeof(value));
}

static uint16_t daemon_fd_queue_get16(const uint8_t *bytes)
{
	uint16_t value;

	memcpy(&value, bytes, sizeof(value));
	return le16toh(value);
}

static uint32_t daemon_fd_queue_get32(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return le32toh(value);
}

static uint64_t daemon_fd_queue_get64(const uint8_t *bytes)
{
	uint64_t value;

	memcpy(&value, bytes, sizeof(value));
	return le64toh(value);
}

size_t daemon_fd_queue_messages(size_t total)
{
	return total ? (total + FD_QUEUE_MESSAGE_FDS - 1) / FD_QUEUE_MESSAGE_FDS : 1;
}

size_t daemon_fd_queue_part(size_t total, size_t index)
{
	size_t left = total - index * FD_QUEUE_MESSAGE_FDS;

	return left < FD_QUEUE_MESSAGE_FDS ? left : FD_QUEUE_MESSAGE_FDS;
}

void daemon_fd_queue_encode(const struct fd_header *header, uint8_t bytes[static FD_QUEUE_HEADER_SIZE])
{
	memset(bytes, 0, FD_QUEUE_HEADER_SIZE);
	memcpy(bytes, magic, AT_VERSION);
	daemon_fd_queue_put16(bytes + AT_VERSION, FORMAT);
	daemon_fd_queue_put16(bytes + AT_KIND, (uint16_t)header->kind);
	daemon_fd_queue_put16(bytes + AT_INDEX, header->index);
	daemon_fd_queue_put16(bytes + AT_COUNT, header->count);
	daemon_fd_queue_put64(bytes + AT_RUN, header->run);
	daemon_fd_queue_put64(bytes + AT_GENERATION, header->generation);
	daemon_fd_queue_put32(bytes + AT_COUPLE, header->couple);
	daemon_fd_queue_put32(bytes + AT_TOTAL, header->total);
	daemon_fd_queue_put32(bytes + AT_CHECKSUM, daemon_fd_queue_checksum(bytes, AT_CHECKSUM));
}

static bool daemon_fd_queue_is_sound(const struct fd_header *header)
{
	uint32_t most = header->kind == FD_LIST ? FD_QUEUE_FDS_MAX : FD_PARCEL_FDS_MAX;

	if (header->total > most || header->count > FD_QUEUE_MESSAGE_FDS)
		return false;
	if (header->kind == FD_ADDITION)
		return header->count > 0;
	return header->index < daemon_fd_queue_messages(header->total) &&
	       header->count == daemon_fd_queue_part(header->total, header->index);
}

bool daemon_fd_queue_decode(const uint8_t *bytes, size_t size, struct fd_header *header)
{
	if (size != FD_QUEUE_HEADER_SIZE || memcmp(bytes, magic, AT_VERSION) != 0 ||
	    daemon_fd_queue_get16(bytes + AT_VERSION) != FORMAT || daemon_fd_queue_get16(bytes + AT_KIND) > FD_PARCEL ||
	    daemon_fd_queue_get32(bytes + AT_ZERO) != 0 ||
	    daemon_fd_queue_get32(bytes + AT_CHECKSUM) != daemon_fd_queue_checksum(bytes, AT_CHECKSUM))
		return false;
	*header = (struct fd_header){
		.run = daemon_fd_queue_get64(bytes + AT_RUN),
		.generation = daemon_fd_queue_get64(bytes + AT_GENERATION),
		.couple = daemon_fd_queue_get32(bytes + AT_COUPLE),
		.total = daemon_fd_queue_get32(bytes + AT_TOTAL),
		.kind = (enum fd_kind)daemon_fd_queue_get16(bytes + AT_KIND),
		.index = daemon_fd_queue_get16(bytes + AT_INDEX),
		.count = daemon_fd_queue_get16(bytes + AT_COUNT),
	};
	return daemon_fd_queue_is_sound(header);
}

bool daemon_fd_queue_is_mate(const struct fd_header *a, const struct fd_header *b)
{
	return a->run == b->run && a->couple == b->couple;
}

/* Whether NEXT may be the next message of the queue. */
static bool daemon_fd_queue_follows(const struct fd_survey *survey, const struct fd_header *next)
{
	size_t list = daemon_fd_queue_messages(survey->first.total);

	if (!survey->messages)
		return next->kind != FD_ADDITION && next->index == 0;
	if (!daemon_fd_queue_is_mate(&survey->first, next) || survey->first.generation != next->generation ||
	    survey->first.total != next->total)
		return false;
	if (survey->messages < list)
		return next->kind == survey->first.kind && next->index == survey->messages;
	if (survey->first.kind == FD_PARCEL)
		return next->kind == FD_ADDITION && next->index == 0 && !survey->burdened;
	return survey->first.kind == FD_LIST && next->kind == FD_ADDITION && next->index == survey->messages - list &&
	       survey->fds + next->count <= FD_QUEUE_FDS_MAX;
}

void daemon_fd_queue_survey(struct fd_survey *survey, const uint8_t *bytes, size_t size)
{
	struct fd_header next;

	if (survey->strange)
		return;
	if (!daemon_fd_queue_decode(bytes, size, &next) || !daemon_fd_queue_follows(survey, &next)) {
		survey->strange = true;
		return;
	}
	if (survey->complete && survey->first.kind == FD_PARCEL) {
		survey->burdened = true;
		return;
	}
	if (!survey->messages)
		survey->first = next;
	survey->messages++;
	survey->fds += next.count;
	survey->complete = survey->messages >= daemon_fd_queue_messages(survey->first.total);
}

void daemon_fd_queue_choose(struct fd_survey *surveys, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		surveys[i].chosen = surveys[i].complete;
		for (size_t j = 0; j < i && surveys[i].chosen; j++) {
			if (!surveys[j].chosen || !daemon_fd_queue_is_mate(&surveys[i].first, &surveys[j].first))
				continue;
			surveys[j].chosen = surveys[j].first.generation >= surveys[i].first.generation;
			surveys[i].chosen = !surveys[j].chosen;
		}
	}
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as messages of stored queues. Before each message stands its size, with a bit for the beginning of another queue. What is
 * accepted prints as it was, no queue counts more than its messages hold, and of each couple one list at most is chosen. The
 * checksum is made right where another bit asks for it, or nearly nothing would get past it.
 */
#include "daemon/fd_queue.h"

#include "fuzz.h"

enum {
	SIZE_BITS = 0x3f,
	NEXT_QUEUE = 0x40,
	RIGHT_CHECKSUM = 0x80,
	QUEUES_MAX = 16,
	FIXED_SIZE = FD_QUEUE_HEADER_SIZE - 4,
};

/* What the queues hold, counted independently. */
struct tally {
	size_t messages, fds;
};

static void make_checksum_right(uint8_t *bytes)
{
	uint32_t sum = 2166136261U;

	for (size_t i = 0; i < FIXED_SIZE; i++)
		sum = (sum ^ bytes[i]) * 16777619U;
	for (size_t i = 0; i < 4; i++)
		bytes[FIXED_SIZE + i] = (uint8_t)(sum >> (8 * i));
}

static void take(const uint8_t *bytes, size_t size, struct fd_survey *survey, struct tally *tally)
{
	uint8_t again[FD_QUEUE_HEADER_SIZE];
	struct fd_header header;

	if (daemon_fd_queue_decode(bytes, size, &header)) {
		daemon_fd_queue_encode(&header, again);
		fuzz_check(size == sizeof(again) && !memcmp(bytes, again, size));
		tally->messages++;
		tally->fds += header.count;
	}
	daemon_fd_queue_survey(survey, bytes, size);
	fuzz_check(survey->messages <= tally->messages && survey->fds <= tally->fds);
	fuzz_check(survey->fds <= FD_QUEUE_FDS_MAX || survey->first.kind == FD_PARCEL);
	fuzz_check(!survey->complete || survey->fds >= survey->first.total);
}

static void check_choice(const struct fd_survey *surveys, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		size_t chosen = 0;

		fuzz_check(!surveys[i].chosen || surveys[i].complete);
		for (size_t j = 0; j < count && surveys[i].complete; j++) {
			if (!surveys[j].complete || surveys[j].first.run != surveys[i].first.run ||
			    surveys[j].first.couple != surveys[i].first.couple)
				continue;
			chosen += surveys[j].chosen;
			fuzz_check(!surveys[i].chosen || surveys[i].first.generation >= surveys[j].first.generation);
		}
		fuzz_check(!surveys[i].complete || chosen == 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fd_survey surveys[QUEUES_MAX] = { 0 };
	struct tally tallies[QUEUES_MAX] = { 0 };
	size_t queue = 0;

	while (size) {
		uint8_t head = *data++, bytes[SIZE_BITS + 1];
		size_t length = head & SIZE_BITS;

		size--;
		if (length > size)
			length = size;
		memcpy(bytes, data, length);
		data += length;
		size -= length;
		if (head & NEXT_QUEUE && queue + 1 < QUEUES_MAX)
			queue++;
		if (head & RIGHT_CHECKSUM && length == FD_QUEUE_HEADER_SIZE)
			make_checksum_right(bytes);
		take(bytes, length, &surveys[queue], &tallies[queue]);
	}
	daemon_fd_queue_choose(surveys, queue + 1);
	check_choice(surveys, queue + 1);
	return 0;
}

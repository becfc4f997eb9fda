/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A descriptor in flight cannot be taken out of its queue, and keeps its socket, and so its port, alive. So a list without it is
 * written into the other queue, and then the first one is drained. The reader, of whatever a kill left, takes the highest complete
 * list. A descriptor that is added follows as a message of its own, which costs no more with many than with few; after
 * some of these the list is written as a whole again.
 *
 * Reading is looking: it copies the descriptors, and a reader that is killed meanwhile leaves the queue to the next.
 */
#include "daemon/fd_couple.h"

#include "base/cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	ADDITIONS_MAX = 128,
	QUEUE_MESSAGES = 2048, /* far more than the largest list and its additions need */
};

void daemon_fd_couple_init(struct fd_couple *couple, uint64_t run, uint32_t number)
{
	*couple = (struct fd_couple){
		.queues = { { -1, -1 }, { -1, -1 } },
		.list = { .run = run, .couple = number },
		.stale = true,
	};
}

static void daemon_fd_couple_close(struct fd_couple *couple)
{
	for (size_t i = 0; i < 2; i++) {
		cleanup_fd(&couple->queues[i].in);
		cleanup_fd(&couple->queues[i].out);
	}
}

int daemon_fd_couple_open(struct fd_couple *couple)
{
	if (couple->queues[0].in >= 0)
		return 0;
	for (size_t i = 0; i < 2; i++) {
		if (daemon_fd_message_open(QUEUE_MESSAGES, &couple->queues[i]) < 0) {
			int error = errno;

			daemon_fd_couple_close(couple);
			errno = error;
			return -1;
		}
	}
	return 0;
}

void daemon_fd_couple_free(struct fd_couple *couple)
{
	daemon_fd_couple_close(couple);
	vec_free(&couple->fds);
}

int daemon_fd_couple_add(struct fd_couple *couple, int fd)
{
	int *added = vec_push(&couple->fds);

	if (!added)
		return -1;
	*added = fd;
	return 0;
}

void daemon_fd_couple_remove(struct fd_couple *couple, size_t index)
{
	if (index < couple->written)
		couple->stale = true;
	couple->fds.items[index] = couple->fds.items[--couple->fds.count];
}

bool daemon_fd_couple_is_written(const struct fd_couple *couple)
{
	return !couple->stale && couple->written == couple->fds.count;
}

/* ---- Writing ---- */

/* Writes the whole list into the other queue, and drains this one. */
static int daemon_fd_couple_rewrite(struct fd_couple *couple)
{
	struct fd_queue *former = &couple->queues[couple->current];
	struct fd_queue *other = &couple->queues[!couple->current];
	struct fd_header list = couple->list;

	list.generation++;
	list.total = (uint32_t)couple->fds.count;
	list.kind = FD_LIST;
	for (size_t i = 0; i < daemon_fd_queue_messages(list.total); i++) {
		list.index = (uint16_t)i;
		list.count = (uint16_t)daemon_fd_queue_part(list.total, i);
		if (daemon_fd_message_send(other->in, &list, couple->fds.items + i * FD_QUEUE_MESSAGE_FDS) < 0) {
			int error = errno;

			daemon_fd_message_drain(other->out);
			errno = error;
			return -1;
		}
	}
	couple->list = list;
	couple->current = !couple->current;
	couple->written = couple->fds.count;
	couple->additions = 0;
	couple->stale = false;
	daemon_fd_message_drain(former->out);
	return 0;
}

static int daemon_fd_couple_append(struct fd_couple *couple)
{
	struct fd_header header = couple->list;

	header.kind = FD_ADDITION;
	while (couple->written < couple->fds.count) {
		size_t left = couple->fds.count - couple->written;

		header.index = couple->additions;
		header.count = (uint16_t)(left < FD_QUEUE_MESSAGE_FDS ? left : FD_QUEUE_MESSAGE_FDS);
		if (daemon_fd_message_send(couple->queues[couple->current].in, &header,
					   couple->fds.items + couple->written) < 0)
			return -1;
		couple->written += header.count;
		couple->additions++;
	}
	return 0;
}

int daemon_fd_couple_write(struct fd_couple *couple)
{
	if (daemon_fd_couple_is_written(couple))
		return 0;
	if (!couple->stale && couple->additions < ADDITIONS_MAX && daemon_fd_couple_append(couple) == 0)
		return 0;
	return daemon_fd_couple_rewrite(couple);
}

/* ---- Reading ---- */

int daemon_fd_couple_survey(int out, struct fd_survey *survey)
{
	uint8_t bytes[FD_QUEUE_HEADER_SIZE + 1];
	ssize_t size;

	*survey = (struct fd_survey){ 0 };
	if (daemon_fd_message_rewind(out) < 0)
		return -1;
	do {
		size = daemon_fd_message_peek(out, bytes, sizeof(bytes), NULL, NULL);
		if (size > 0)
			daemon_fd_queue_survey(survey, bytes, (size_t)size);
	} while (size > 0 && !survey->strange);
	return size < 0 ? -1 : 0;
}

size_t daemon_fd_couple_copy(int out, const struct fd_survey *survey, int *fds)
{
	size_t copied = 0;

	if (daemon_fd_message_rewind(out) < 0)
		return 0;
	for (size_t i = 0; i < survey->messages; i++) {
		uint8_t bytes[FD_QUEUE_HEADER_SIZE];
		size_t room = survey->fds - copied;

		if (daemon_fd_message_peek(out, bytes, sizeof(bytes), fds + copied, &room) <= 0)
			break;
		copied += room;
	}
	return copied;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first descriptor is the memory: a sealed memfd, so that nobody who has it too can change what was described. It is read, and
 * not mapped. The others follow in their order, up to 253 in a message. A process that has no room for all descriptors
 * of a message gets the first ones, and the rest is closed by the kernel (MSG_CTRUNC).
 */
#include "daemon/fd_parcel.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "daemon/fd_message.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

enum { SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

/* ---- Packing ---- */

static int daemon_fd_parcel_write(int fd, const uint8_t *bytes, size_t size)
{
	while (size) {
		ssize_t written = write(fd, bytes, size);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -1;
		bytes += written;
		size -= (size_t)written;
	}
	return 0;
}

/* vm.memfd_noexec may demand what kernels before 6.3 do not know. */
static int daemon_fd_parcel_create(void)
{
	const char name[] = "weft-handover";
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	return fd < 0 && errno == EINVAL ? memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING) : fd;
}

/* A sealed copy of MEMORY; -1 with errno. */
static int daemon_fd_parcel_seal(const void *memory, size_t size)
{
	AUTO_FD int fd = daemon_fd_parcel_create();

	if (fd < 0 || daemon_fd_parcel_write(fd, memory, size) < 0 || fcntl(fd, F_ADD_SEALS, SEALS) < 0)
		return -1;
	return steal_fd(&fd);
}

/* Sends ALL, which are HEADER's total. 0, or -1 with errno. */
static int daemon_fd_parcel_send(int in, struct fd_header header, const int *all)
{
	for (size_t i = 0; i < daemon_fd_queue_messages(header.total); i++) {
		header.index = (uint16_t)i;
		header.count = (uint16_t)daemon_fd_queue_part(header.total, i);
		if (daemon_fd_message_send(in, &header, all + i * FD_QUEUE_MESSAGE_FDS) < 0)
			return -1;
	}
	return 0;
}

/* Where that fails this run closes them. */
static void daemon_fd_parcel_burden(const struct fd_parcel *parcel, struct fd_header header, int in)
{
	if (!parcel->burden_count || parcel->burden_count > FD_QUEUE_MESSAGE_FDS)
		return;
	header.kind = FD_ADDITION;
	header.index = 0;
	header.count = (uint16_t)parcel->burden_count;
	(void)daemon_fd_message_send(in, &header, parcel->burden);
}

/* Fills QUEUE with what is PARCEL's. 0, or -1 with errno. */
static int daemon_fd_parcel_fill(const struct fd_parcel *parcel, uint64_t run, int memory, struct fd_queue *queue)
{
	struct fd_header header = {
		.run = run, .generation = parcel->connections, .kind = FD_PARCEL, .total = (uint32_t)parcel->count + 1
	};
	AUTO_FREE int *all = calloc(header.total, sizeof(*all));

	if (!all)
		return -1;
	all[0] = memory;
	if (parcel->count)
		memcpy(all + 1, parcel->fds, parcel->count * sizeof(*all));
	if (daemon_fd_message_open(daemon_fd_queue_messages(header.total) + 1, queue) < 0)
		return -1;
	if (daemon_fd_parcel_send(queue->in, header, all) == 0) {
		daemon_fd_parcel_burden(parcel, header, queue->in);
		return 0;
	}
	int error = errno;
	cleanup_fd(&queue->in);
	cleanup_fd(&queue->out);
	errno = error;
	return -1;
}

int daemon_fd_parcel_pack(const struct fd_parcel *parcel, uint64_t run, struct fd_queue *queue, struct err *err)
{
	AUTO_FD int memory = -1;

	*queue = (struct fd_queue){ .in = -1, .out = -1 };
	if (parcel->size > FD_PARCEL_MEMORY_MAX || parcel->count >= FD_PARCEL_FDS_MAX)
		return err_set(err, E2BIG, "%zu bytes and %zu descriptors", parcel->size, parcel->count);
	memory = daemon_fd_parcel_seal(parcel->memory, parcel->size);
	if (memory < 0)
		return err_set(err, errno, "memory that outlives weftd");
	if (daemon_fd_parcel_fill(parcel, run, memory, queue) < 0)
		return err_set(err, errno, "queue of %zu descriptors", parcel->count);
	return 0;
}

/* ---- Unpacking ---- */

/* Reads the memory of FD into PARCEL. */
static int daemon_fd_parcel_read(int fd, struct fd_parcel *parcel, struct err *err)
{
	struct stat status;
	int seals = fcntl(fd, F_GET_SEALS);
	size_t done = 0;

	if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &status) < 0)
		return err_set(err, EINVAL, "its first descriptor is no sealed memory");
	if (status.st_size > FD_PARCEL_MEMORY_MAX)
		return err_set(err, E2BIG, "its memory has %lld bytes", (long long)status.st_size);
	parcel->size = (size_t)status.st_size;
	parcel->memory = malloc(parcel->size + 1);
	if (!parcel->memory)
		return err_set(err, ENOMEM, "its memory, of %zu bytes", parcel->size);
	while (done < parcel->size) {
		ssize_t part = pread(fd, parcel->memory + done, parcel->size - done, (off_t)done);

		if (part < 0 && errno == EINTR)
			continue;
		if (part <= 0)
			return err_set(err, part < 0 ? errno : EIO, "its memory");
		done += (size_t)part;
	}
	return 0;
}

/* Takes all descriptors into FDS, which has room for those of SURVEY, and sets those that are lost to -1. Returns how many these are. */
static size_t daemon_fd_parcel_receive(int out, const struct fd_survey *survey, int *fds)
{
	size_t lost = 0, at = 0;

	for (size_t i = 0; i < survey->messages; i++) {
		uint8_t bytes[FD_QUEUE_HEADER_SIZE];
		size_t due = daemon_fd_queue_part(survey->first.total, i), count = due;

		if (daemon_fd_message_take(out, bytes, sizeof(bytes), fds + at, &count) <= 0)
			count = 0;
		lost += due - count;
		for (; count < due; count++)
			fds[at + count] = -1;
		at += due;
	}
	return lost;
}

int daemon_fd_parcel_unpack(int out, const struct fd_survey *survey, struct fd_parcel *parcel, struct err *err)
{
	AUTO_FD int memory = -1;

	*parcel =
	    (struct fd_parcel){ .connections = survey->first.generation, .fds = calloc(survey->fds + 1, sizeof(int)) };
	if (!parcel->fds) {
		daemon_fd_message_drain(out);
		return err_set(err, ENOMEM, "its %zu descriptors", survey->fds);
	}
	parcel->lost = daemon_fd_parcel_receive(out, survey, parcel->fds);
	/* If some were lost, a message of theirs may be there still. */
	if (!survey->burdened || survey->strange || parcel->lost)
		daemon_fd_message_drain(out);
	if (!survey->fds)
		return err_set(err, EINVAL, "it is empty");
	memory = parcel->fds[0];
	parcel->count = survey->fds - 1;
	memmove(parcel->fds, parcel->fds + 1, parcel->count * sizeof(int));
	if (memory < 0)
		err_set(err, EMFILE, "its memory is lost");
	else if (daemon_fd_parcel_read(memory, parcel, err) == 0)
		return 0;
	daemon_fd_parcel_free(parcel);
	return -1;
}

void daemon_fd_parcel_free(struct fd_parcel *parcel)
{
	for (size_t i = 0; i < parcel->count; i++)
		cleanup_fd(&parcel->fds[i]);
	free(parcel->fds);
	free(parcel->memory);
	*parcel = (struct fd_parcel){ .connections = parcel->connections };
}

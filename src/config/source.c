/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nothing here may block or have an effect: the kind is looked at before anything is opened (opening /dev/watchdog starts it), and
 * what is opened does not block. A FIFO without a writer reads as one that has ended, but poll() waits for its first writer; so an
 * end that comes before any byte is waited for. A pipe without a name has all its writers from its first instant.
 */
#include "config/source.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { CONFIG_BYTES_MAX = 1 << 20, CONFIG_PIECE = 4096 };

static const char *config_source_kind(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return "a directory";
	case S_IFCHR:
		return "a character device";
	case S_IFBLK:
		return "a block device";
	case S_IFSOCK:
		return "a socket";
	}
	return "of an unknown kind";
}

static int config_source_check_kind(const struct stat *status, struct err *err)
{
	if (S_ISREG(status->st_mode) || S_ISFIFO(status->st_mode))
		return 0;
	err_set(err, 0, "is %s; allowed: a regular file, or a pipe that ends", config_source_kind(status->st_mode));
	err->code = S_ISDIR(status->st_mode) ? EISDIR : EINVAL;
	return -1;
}

/* Opens PATH for reading without blocking. The descriptor, and *IS_PIPE; or -1 with ERR. */
static int config_source_open(const char *path, bool *is_pipe, struct err *err)
{
	struct stat status;

	if (stat(path, &status) < 0)
		return err_set(err, errno, "cannot be opened");
	if (config_source_check_kind(&status, err) < 0)
		return -1;
	AUTO_FD int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status) < 0)
		return err_set(err, errno, "cannot be opened");
	if (config_source_check_kind(&status, err) < 0)
		return -1;
	*is_pipe = S_ISFIFO(status.st_mode);
	return steal_fd(&fd);
}

static int config_source_fail(struct err *err, int code, const char *text)
{
	err_set(err, 0, "%s", text);
	err->code = code;
	return -1;
}

/* Reads one piece. The number of bytes, 0 at the end, or -1 with errno, or with ERR and errno 0. */
static ssize_t config_source_read_piece(int fd, struct config_source *source, struct err *err)
{
	if (vec_reserve(source, source->count + CONFIG_PIECE) < 0) {
		errno = ENOMEM;
		return -1;
	}
	ssize_t got = read(fd, source->items + source->count, CONFIG_PIECE);
	if (got > 0)
		source->count += (size_t)got;
	if (source->count <= CONFIG_BYTES_MAX)
		return got;
	config_source_fail(err, EFBIG, "is longer than 1 MiB");
	errno = 0;
	return -1;
}

static bool config_source_is_nameless(int fd)
{
	struct statfs status;

	return fstatfs(fd, &status) == 0 && status.f_type == PIPEFS_MAGIC;
}

/* Waits until something can be read from the pipe FD or its writers are gone. 0, or -1 with ERR. */
static int config_source_wait(int fd, uint64_t deadline_ms, bool written, struct err *err)
{
	struct pollfd pipe = { .fd = fd, .events = POLLIN };
	uint64_t now = clock_now_ms();
	int ready = now < deadline_ms ? poll(&pipe, 1, (int)(deadline_ms - now)) : 0;

	if (ready < 0 && errno != EINTR)
		return err_set(err, errno, "cannot be read");
	if (ready == 0)
		return config_source_fail(err, ETIMEDOUT,
					  written ? "is a pipe that does not end" : "is a pipe that nobody writes to");
	if (ready > 0 && pipe.revents == POLLHUP && !written)
		return config_source_fail(err, ENODATA, "is a pipe with nothing in it");
	return 0;
}

static int config_source_read_pipe(int fd, unsigned patience_ms, struct config_source *source, struct err *err)
{
	uint64_t deadline_ms = clock_now_ms() + patience_ms;
	bool has_writer = config_source_is_nameless(fd);

	for (;;) {
		ssize_t got = config_source_read_piece(fd, source, err);

		if (got > 0)
			continue;
		if (got == 0 && source->count)
			return 0;
		if (got == 0 && has_writer)
			return config_source_fail(err, ENODATA, "is a pipe with nothing in it");
		if (got < 0 && errno == EAGAIN)
			has_writer = true;
		else if (got < 0 && errno != EINTR)
			return errno ? err_set(err, errno, "cannot be read") : -1;
		if (config_source_wait(fd, deadline_ms, has_writer, err) < 0)
			return -1;
	}
}

static int config_source_read_file(int fd, struct config_source *source, struct err *err)
{
	for (;;) {
		ssize_t got = config_source_read_piece(fd, source, err);

		if (got == 0)
			return 0;
		if (got < 0 && errno != EINTR)
			return errno ? err_set(err, errno, "cannot be read") : -1;
	}
}

int config_source_read(const char *path, unsigned patience_ms, struct config_source *source, struct err *err)
{
	bool is_pipe = false;
	AUTO_FD int fd = config_source_open(path, &is_pipe, err);
	int result = -1;

	*source = (struct config_source){ 0 };
	if (fd >= 0)
		result = is_pipe ? config_source_read_pipe(fd, patience_ms, source, err)
				 : config_source_read_file(fd, source, err);
	if (result < 0)
		vec_free(source);
	return result;
}

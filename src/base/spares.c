/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A spare descriptor is an open file of its own, so that closing it makes room under RLIMIT_NOFILE and under the host's limit of
 * open files alike. The lowest number is closed first: RLIMIT_NOFILE is a limit of numbers, and it may have been lowered below
 * those of other spares. Another thread may take the room before its owner does, and then the next spare is closed.
 */
#include "base/spares.h"

#include "base/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { LIMIT_A_SPARE = 64 };

static _Thread_local struct {
	int fds[SPARES_MAX];
	unsigned count, wanted;
	bool counted; /* WANTED is known */
} spares;

static unsigned base_spares_wanted(void)
{
	size_t wanted = base_descriptors_limit() / LIMIT_A_SPARE;

	return wanted < SPARES_MAX ? (unsigned)wanted : SPARES_MAX;
}

void base_spares_fill(void)
{
	if (!spares.counted)
		spares.wanted = base_spares_wanted();
	spares.counted = true;
	while (spares.count < spares.wanted) {
		int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			return;
		spares.fds[spares.count++] = fd;
	}
}

bool base_spares_are_short(void)
{
	return spares.count < spares.wanted;
}

void base_spares_drop(void)
{
	while (spares.count)
		close(spares.fds[--spares.count]);
	spares.wanted = 0;
	spares.counted = false;
}

/* Whether closing FD makes room for another: under RLIMIT_NOFILE only a number below the limit does. */
static bool base_spares_make_room(int fd, int code)
{
	return code == ENFILE || (size_t)fd < base_descriptors_limit();
}

bool base_spares_give(int code)
{
	unsigned lowest = 0;

	if ((code != EMFILE && code != ENFILE) || !spares.count)
		return false;
	for (unsigned i = 1; i < spares.count; i++) {
		if (spares.fds[i] < spares.fds[lowest])
			lowest = i;
	}
	if (!base_spares_make_room(spares.fds[lowest], code)) {
		errno = code;
		return false;
	}
	close(spares.fds[lowest]);
	spares.fds[lowest] = spares.fds[--spares.count];
	errno = code;
	return true;
}

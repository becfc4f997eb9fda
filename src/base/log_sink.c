/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stderr is shared with other processes, so it is never made non-blocking; and as another process may have done so, a writer
 * that waits does it by poll(2). Where nothing may wait, a socket is written with MSG_DONTWAIT, and anything else after poll(2)
 * has said that it takes PIPE_BUF bytes.
 *
 * The journal is asked by its own protocol instead of sd_journal_sendv(3), which has no call that does not wait, makes its socket
 * at the first line, when there may be no descriptor left, and says nothing where there is no journal.
 */
#include "base/log_sink.h"

#include "base/log_line.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

static int journal_fd = -1;
static const struct sockaddr_un journal = { .sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/socket" };
static const struct sockaddr_un syslog_socket = { .sun_family = AF_UNIX, .sun_path = "/dev/log" };

void log_sink_open(void)
{
	if (journal_fd < 0)
		journal_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static int log_sink_send(const struct sockaddr_un *address, const char *bytes, size_t size, int flags)
{
	ssize_t sent;

	do
		sent = sendto(journal_fd, bytes, size, flags | MSG_NOSIGNAL, (const struct sockaddr *)address,
			      sizeof(*address));
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -1 : 0;
}

/* The text of a record: its first field, which has no newline, without the field's name. */
static const char *log_sink_text(const char *bytes, size_t size, size_t *length)
{
	const char *end = memchr(bytes, '\n', size);
	const char *text = memchr(bytes, '=', size);

	if (!end || !text || ++text > end)
		text = end = bytes;
	*length = (size_t)(end - text);
	return text;
}

static int log_sink_write_journal(enum log_level level, const char *bytes, size_t size)
{
	size_t length;
	const char *text;

	if (log_sink_send(&journal, bytes, size, 0) == 0)
		return 0;
	text = log_sink_text(bytes, size, &length);
	syslog(LOG_DAEMON | log_line_priority(level), "%.*s", (int)length, text);
	return 0;
}

static int log_sink_await_stderr(void)
{
	struct pollfd writable = { .fd = STDERR_FILENO, .events = POLLOUT };

	return poll(&writable, 1, -1) < 0 && errno != EINTR ? -1 : 0;
}

static int log_sink_write_stderr(const char *bytes, size_t size, size_t *left)
{
	for (*left = size; *left;) {
		ssize_t written = write(STDERR_FILENO, bytes + size - *left, *left);

		if (written >= 0)
			*left -= (size_t)written;
		else if (errno == EAGAIN ? log_sink_await_stderr() < 0 : errno != EINTR)
			return -1;
	}
	return 0;
}

int log_sink_write(enum log_target target, enum log_level level, const char *bytes, size_t size, size_t *left)
{
	if (target == LOG_TO_STDERR)
		return log_sink_write_stderr(bytes, size, left);
	*left = 0;
	return log_sink_write_journal(level, bytes, size);
}

/* ---- Without waiting ---- */

static bool log_sink_offer_stderr(const char *bytes, size_t size)
{
	struct pollfd writable = { .fd = STDERR_FILENO, .events = POLLOUT };
	struct stat status;

	if (fstat(STDERR_FILENO, &status) < 0)
		return false;
	if (S_ISSOCK(status.st_mode))
		return send(STDERR_FILENO, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size;
	if (poll(&writable, 1, 0) != 1 || !(writable.revents & POLLOUT))
		return false;
	return write(STDERR_FILENO, bytes, size) == (ssize_t)size;
}

/* "<27>weftd: TEXT", as syslog(3) writes it. */
static bool log_sink_offer_syslog(enum log_level level, const char *text, size_t length)
{
	char message[LOG_TEXT_MAX + 32] = "<3 >weftd: ";
	size_t used = strlen(message);

	_Static_assert(LOG_DAEMON == 3 << 3, "24 to 31 have two digits");
	message[1] = (char)('0' + (LOG_DAEMON | log_line_priority(level)) / 10);
	message[2] = (char)('0' + (LOG_DAEMON | log_line_priority(level)) % 10);
	if (length > sizeof(message) - used)
		length = sizeof(message) - used;
	memcpy(message + used, text, length);
	return log_sink_send(&syslog_socket, message, used + length, MSG_DONTWAIT) == 0;
}

static bool log_sink_offer_journal(enum log_level level, const char *bytes, size_t size)
{
	size_t length;
	const char *text;

	if (log_sink_send(&journal, bytes, size, MSG_DONTWAIT) == 0)
		return true;
	if (errno == EAGAIN)
		return false; /* it stands still, and whoever reads syslog(3) here is the same */
	text = log_sink_text(bytes, size, &length);
	return log_sink_offer_syslog(level, text, length);
}

bool log_sink_offer(enum log_target target, enum log_level level, const char *bytes, size_t size)
{
	return target == LOG_TO_STDERR ? log_sink_offer_stderr(bytes, size)
				       : log_sink_offer_journal(level, bytes, size);
}

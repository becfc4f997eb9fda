/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A non-blocking socket and poll() with a deadline, which holds for all steps together: a daemon that stands still may have a full
 * backlog, and one that answers byte by byte must not keep us for ever either. The request says "Connection: close", but the
 * answer itself shows where it ends. Our write side stays open until then, because a server may take a half-closed connection for
 * a client that is gone. The answer is read even if the request could not be written whole, because a refusal comes early.
 */
#include "client/client.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/vec.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

enum {
	ANSWER_MAX = 256 * 1024 * 1024, /* 32,766 sandboxes with all their labels and rules */
	LINE_MAX_BYTES = 4 * 1024 * 1024,
	BACKLOG_PAUSE_MS = 10,
};

/* A body while it comes: a whole answer, or the unfinished line of a stream. */
struct client_body {
	VEC_OF(char); /* with a NUL behind the bytes that count */
	const struct client_response *response;
	client_line *line; /* NULL: no stream */
	void *context;
	bool too_big, no_memory;
};

void client_answer_clear(struct client_answer *answer)
{
	free(answer->body);
	*answer = (struct client_answer){ 0 };
}

/*
 * The daemon stands still. The credentials of the peer are those of the process that listened last, which may be gone where a
 * service manager keeps the socket. Returns -1.
 */
static int client_fail_silent(int fd, struct err *err)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	bool known = !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) && peer.pid > 0 &&
		     (kill(peer.pid, 0) == 0 || errno != ESRCH);

	if (known)
		err_set(err, 0, "weftd (process %d) does not answer", peer.pid);
	else
		err_set(err, 0, "weftd does not answer");
	err->code = ETIMEDOUT;
	return -1;
}

static int client_wait(int fd, short events, uint64_t deadline_ms, struct err *err)
{
	struct pollfd pollfd = { .fd = fd, .events = events };

	for (;;) {
		uint64_t now = clock_now_ms();
		if (now >= deadline_ms)
			return client_fail_silent(fd, err);
		int ready = poll(&pollfd, 1, (int)(deadline_ms - now));
		if (ready > 0)
			return 0;
		if (ready < 0 && errno != EINTR)
			return err_set(err, errno, "waiting for an answer");
	}
}

/* The kind of file that stands where a socket should be; NULL: a socket, or it cannot be told. */
static const char *client_kind_of(const char *path)
{
	struct stat file;

	if (stat(path, &file) < 0 || S_ISSOCK(file.st_mode))
		return NULL;
	if (S_ISREG(file.st_mode))
		return "a regular file";
	if (S_ISDIR(file.st_mode))
		return "a directory";
	return S_ISFIFO(file.st_mode) ? "a pipe" : "a device";
}

/* connect(2) failed with CODE, whose own words mislead for a path that leads to something else. Returns -1. */
static int client_fail_to_connect(const char *path, int code, struct err *err)
{
	const char *kind = code == ECONNREFUSED ? client_kind_of(path) : NULL;

	if (kind)
		err_set(err, 0, "%s is no socket, but %s", path, kind);
	else if (code == EPROTOTYPE)
		err_set(err, 0, "%s is a socket of another type than weftd's", path);
	else
		return err_set(err, code, "%s", path);
	err->code = ENOTSOCK;
	return -1;
}

static int client_connect(const char *path, uint64_t deadline_ms, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_set(err, errno, "a socket");
	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(err, ENAMETOOLONG, "%s: a socket's path has at most %zu bytes", path,
			       sizeof(address.sun_path) - 1);
	strcpy(address.sun_path, path);

	while (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		/* EAGAIN: the backlog is full, and poll() cannot wait for room in it. */
		if (errno == EAGAIN && clock_now_ms() >= deadline_ms)
			return client_fail_silent(fd, err);
		if (errno == EAGAIN)
			nanosleep(&(struct timespec){ .tv_nsec = BACKLOG_PAUSE_MS * 1000000L }, NULL);
		else if (errno != EINTR)
			return client_fail_to_connect(path, errno, err);
	}
	return steal_fd(&fd);
}

/* 0 also if the peer closed too early; its answer gives the reason. */
static int client_send(int fd, const char *data, size_t length, uint64_t deadline_ms, struct err *err)
{
	while (length) {
		ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);
		if (sent >= 0) {
			data += sent;
			length -= (size_t)sent;
		} else if (errno == EPIPE || errno == ECONNRESET) {
			return 0;
		} else if (errno == EAGAIN) {
			if (client_wait(fd, POLLOUT, deadline_ms, err) < 0)
				return -1;
		} else if (errno != EINTR) {
			return err_set(err, errno, "sending the request");
		}
	}
	return 0;
}

static int client_send_request(int fd, const struct client_request *request, uint64_t deadline_ms, struct err *err)
{
	AUTO_FREE char *head = NULL;
	int length =
	    asprintf(&head,
		     "%s %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: %s/" PACKAGE_VERSION "\r\nConnection: close\r\n"
		     "%sContent-Length: %zu\r\n\r\n",
		     request->method, request->target, request->agent,
		     request->body ? "Content-Type: application/json\r\n" : "", request->body_length);

	if (length < 0)
		return err_set(err, ENOMEM, "the request");
	if (client_send(fd, head, (size_t)length, deadline_ms, err) < 0)
		return -1;
	return client_send(fd, request->body, request->body_length, deadline_ms, err);
}

static bool client_gather(struct client_body *gathering, const char *data, size_t length, size_t limit)
{
	if (gathering->count + length > limit) {
		gathering->too_big = true;
		return false;
	}
	if (vec_reserve(gathering, gathering->count + length + 1) < 0) {
		gathering->no_memory = true;
		return false;
	}
	memcpy(gathering->items + gathering->count, data, length);
	gathering->count += length;
	gathering->items[gathering->count] = '\0';
	return true;
}

static bool client_gather_lines(struct client_body *gathering, const char *data, size_t length)
{
	while (length) {
		const char *end = memchr(data, '\n', length);
		size_t taken = end ? (size_t)(end - data) : length;
		if (!client_gather(gathering, data, taken, LINE_MAX_BYTES))
			return false;
		if (end) {
			bool more = gathering->line(gathering->context, gathering->items, gathering->count);
			gathering->count = 0;
			if (!more)
				return false;
			taken++;
		}
		data += taken;
		length -= taken;
	}
	return true;
}

static bool client_take_body(void *context, const char *data, size_t length)
{
	struct client_body *gathering = context;

	if (gathering->line && gathering->response->status == 200)
		return client_gather_lines(gathering, data, length);
	return client_gather(gathering, data, length, ANSWER_MAX);
}

/* Reads until the answer is whole. For a stream each piece moves the deadline. */
static int client_receive(int fd, struct client_response *response, const struct client_request *request,
			  uint64_t deadline_ms, bool stream, struct err *err)
{
	char data[16384];

	while (response->state != RESPONSE_DONE) {
		ssize_t got = recv(fd, data, sizeof(data), 0);
		if (got > 0) {
			if (client_response_feed(response, data, (size_t)got, err) < 0)
				return -1;
			if (stream)
				deadline_ms = clock_now_ms() + request->silence_ms;
		} else if (got == 0) {
			return client_response_end(response, err);
		} else if (errno == EAGAIN) {
			if (client_wait(fd, POLLIN, deadline_ms, err) < 0)
				return -1;
		} else if (errno == ECONNRESET && response->status) {
			return err_set(err, EPROTO, "the answer was cut off");
		} else if (errno != EINTR) {
			return err_set(err, errno, "reading the answer");
		}
	}
	return 0;
}

static int client_exchange(const struct client_request *request, client_line *line, void *context,
			   struct client_answer *answer, struct err *err)
{
	struct client_response response;
	struct client_body gathering = { .response = &response, .line = line, .context = context };
	uint64_t deadline_ms = clock_now_ms() + request->timeout_ms;
	AUTO_FD int fd = client_connect(request->socket, deadline_ms, err);

	*answer = (struct client_answer){ 0 };
	if (fd < 0)
		return -1;
	client_response_init(&response, client_take_body, &gathering);
	int result = client_send_request(fd, request, deadline_ms, err);
	if (result == 0)
		result = client_receive(fd, &response, request, deadline_ms, line != NULL, err);
	if (result == 0 && gathering.too_big)
		result = err_set(err, EPROTO, "the answer is too long to be right");
	if (result == 0 && gathering.no_memory)
		result = err_set(err, ENOMEM, "the answer");

	answer->status = response.status;
	answer->retry_after_s = response.retry_after_s;
	memcpy(answer->content_type, response.content_type, sizeof(answer->content_type));
	if (line && response.status == 200) {
		vec_free(&gathering);
	} else {
		answer->body = gathering.items;
		answer->length = gathering.count;
	}
	if (result < 0)
		client_answer_clear(answer);
	return result;
}

int client_call(const struct client_request *request, struct client_answer *answer, struct err *err)
{
	return client_exchange(request, NULL, NULL, answer, err);
}

int client_stream(const struct client_request *request, client_line *line, void *context, struct client_answer *answer,
		  struct err *err)
{
	return client_exchange(request, line, context, answer, err);
}

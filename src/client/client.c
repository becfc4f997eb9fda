/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A non-blocking socket and poll() with a deadline. "Connection: close" is asked for, but the end of the answer is taken from
 * the answer itself; our write side stays open until then, because a server may take a half-closed connection for a client
 * that went away. The reply is read even if the request could not be written whole: a refusal comes early.
 */
#include "client/client.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

enum {
	ANSWER_MAX = 256 * 1024 * 1024, /* 32,766 sandboxes with all their labels and rules */
	LINE_MAX_BYTES = 4 * 1024 * 1024,
	BACKLOG_PAUSE_MS = 10,
};

/* What is gathered: a whole answer, or the unfinished line of a stream. */
struct client_body {
	const struct http_response *response;
	client_line *line; /* NULL: no stream */
	void *context;
	char *data;
	size_t length, room;
	bool too_big;
};

void client_answer_clear(struct client_answer *answer)
{
	free(answer->body);
	*answer = (struct client_answer){ 0 };
}

static int wait_for(int fd, short events, uint64_t deadline_ms, struct err *err)
{
	struct pollfd pollfd = { .fd = fd, .events = events };

	for (;;) {
		uint64_t now = clock_now_ms();
		if (now >= deadline_ms)
			return err_set(err, ETIMEDOUT, "no answer");
		int ready = poll(&pollfd, 1, (int)(deadline_ms - now));
		if (ready > 0)
			return 0;
		if (ready < 0 && errno != EINTR)
			return err_set(err, errno, "waiting for an answer");
	}
}

static int connect_to(const char *path, uint64_t deadline_ms, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_set(err, errno, "a socket");
	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(err, ENAMETOOLONG, "%s", path);
	strcpy(address.sun_path, path);

	while (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		/* EAGAIN: the backlog is full, and poll() cannot wait for room in it. */
		if (errno == EAGAIN && clock_now_ms() < deadline_ms)
			nanosleep(&(struct timespec){ .tv_nsec = BACKLOG_PAUSE_MS * 1000000L }, NULL);
		else if (errno != EINTR)
			return err_set(err, errno, "%s", path);
	}
	return steal_fd(&fd);
}

/* 0 also when the peer closed before it had all: its answer says why. */
static int send_all(int fd, const char *data, size_t length, uint64_t deadline_ms, struct err *err)
{
	while (length) {
		ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);
		if (sent >= 0) {
			data += sent;
			length -= (size_t)sent;
		} else if (errno == EPIPE || errno == ECONNRESET) {
			return 0;
		} else if (errno == EAGAIN) {
			if (wait_for(fd, POLLOUT, deadline_ms, err) < 0)
				return -1;
		} else if (errno != EINTR) {
			return err_set(err, errno, "sending the request");
		}
	}
	return 0;
}

static int send_request(int fd, const struct client_request *request, uint64_t deadline_ms, struct err *err)
{
	AUTO_FREE char *head = NULL;
	int length = asprintf(&head,
			      "%s %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: weftctl/" PACKAGE_VERSION
			      "\r\nConnection: close\r\n"
			      "%sContent-Length: %zu\r\n\r\n",
			      request->method, request->target,
			      request->body ? "Content-Type: application/json\r\n" : "", request->body_length);

	if (length < 0)
		return err_set(err, ENOMEM, "the request");
	if (send_all(fd, head, (size_t)length, deadline_ms, err) < 0)
		return -1;
	return send_all(fd, request->body, request->body_length, deadline_ms, err);
}

static bool gather(struct client_body *gathering, const char *data, size_t length, size_t limit)
{
	if (gathering->length + length > limit) {
		gathering->too_big = true;
		return false;
	}
	if (gathering->length + length + 1 > gathering->room) {
		size_t room = 2 * (gathering->length + length + 1);
		char *grown = realloc(gathering->data, room);
		if (!grown)
			abort();
		gathering->data = grown;
		gathering->room = room;
	}
	memcpy(gathering->data + gathering->length, data, length);
	gathering->length += length;
	gathering->data[gathering->length] = '\0';
	return true;
}

static bool gather_lines(struct client_body *gathering, const char *data, size_t length)
{
	while (length) {
		const char *end = memchr(data, '\n', length);
		size_t taken = end ? (size_t)(end - data) : length;
		if (!gather(gathering, data, taken, LINE_MAX_BYTES))
			return false;
		if (end) {
			bool more = gathering->line(gathering->context, gathering->data, gathering->length);
			gathering->length = 0;
			if (!more)
				return false;
			taken++;
		}
		data += taken;
		length -= taken;
	}
	return true;
}

static bool take_body(void *context, const char *data, size_t length)
{
	struct client_body *gathering = context;

	if (gathering->line && gathering->response->status == 200)
		return gather_lines(gathering, data, length);
	return gather(gathering, data, length, ANSWER_MAX);
}

/* Reads until the answer is whole. For a stream each piece moves the deadline. */
static int receive(int fd, struct http_response *response, const struct client_request *request, uint64_t deadline_ms,
		   bool stream, struct err *err)
{
	char data[16384];

	while (response->state != HTTP_DONE) {
		ssize_t got = recv(fd, data, sizeof(data), 0);
		if (got > 0) {
			if (http_response_feed(response, data, (size_t)got, err) < 0)
				return -1;
			if (stream)
				deadline_ms = clock_now_ms() + request->timeout_ms;
		} else if (got == 0) {
			return http_response_end(response, err);
		} else if (errno == EAGAIN) {
			if (wait_for(fd, POLLIN, deadline_ms, err) < 0)
				return -1;
		} else if (errno == ECONNRESET && response->status) {
			return err_set(err, EPROTO, "the answer was cut off");
		} else if (errno != EINTR) {
			return err_set(err, errno, "reading the answer");
		}
	}
	return 0;
}

static int exchange(const struct client_request *request, client_line *line, void *context,
		    struct client_answer *answer, struct err *err)
{
	struct http_response response;
	struct client_body gathering = { .response = &response, .line = line, .context = context };
	uint64_t deadline_ms = clock_now_ms() + request->timeout_ms;
	AUTO_FD int fd = connect_to(request->socket, deadline_ms, err);

	*answer = (struct client_answer){ 0 };
	if (fd < 0)
		return -1;
	http_response_init(&response, take_body, &gathering);
	int result = send_request(fd, request, deadline_ms, err);
	if (result == 0)
		result = receive(fd, &response, request, deadline_ms, line != NULL, err);
	if (result == 0 && gathering.too_big)
		result = err_set(err, EPROTO, "the answer is too long to be right");

	answer->status = response.status;
	memcpy(answer->content_type, response.content_type, sizeof(answer->content_type));
	if (line && response.status == 200) {
		free(gathering.data);
	} else {
		answer->body = gathering.data;
		answer->length = gathering.length;
	}
	if (result < 0)
		client_answer_clear(answer);
	return result;
}

int client_call(const struct client_request *request, struct client_answer *answer, struct err *err)
{
	return exchange(request, NULL, NULL, answer, err);
}

int client_stream(const struct client_request *request, client_line *line, void *context, struct client_answer *answer,
		  struct err *err)
{
	return exchange(request, line, context, answer, err);
}

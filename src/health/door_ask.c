/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One connection, one request, one answer, up to a deadline. weftd at its socket is told by a header of the PROXY protocol, version 2,
 * whom the client wants (a TLV PP2_TYPE_UNIQUE_ID), as HAProxy does; of the client itself that header says nothing.
 */
#include "health/door_ask.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/proxy_v2.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>

static const char right_body[] =
    "{\"sandboxId\":\"" BASE_NAME_OF_CHECKS "\",\"message\":\"The sandbox was not found\",\"code\":502}";

enum { RIGHT_STATUS = 502, SOME_PORT = 80 };

char *health_door_request(const struct health_door_question *question, char text[static HEALTH_DOOR_REQUEST_MAX])
{
	char routing[160] = "";

	if (question->id)
		snprintf(routing, sizeof(routing), "E2b-Sandbox-Id: %s\r\nE2b-Sandbox-Port: %u\r\n", question->id,
			 question->port);
	snprintf(text, HEALTH_DOOR_REQUEST_MAX,
		 "GET %s HTTP/1.1\r\nHost: %s\r\n%sUser-Agent: weft\r\nAccept: application/json\r\nConnection: "
		 "close\r\n\r\n",
		 question->path, question->host, routing);
	return text;
}

/* ---- Reading ---- */

/* The value of the header NAME in the lines of HEAD; NULL: there is none. Its LENGTH is without blanks around it. */
static const char *health_door_find_header(const char *head, const char *name, size_t *length)
{
	size_t name_length = strlen(name);

	for (const char *line = strchr(head, '\n'); line; line = strchr(line, '\n')) {
		line++;
		if (strncasecmp(line, name, name_length) != 0 || line[name_length] != ':')
			continue;
		const char *value = line + name_length + 1;
		value += strspn(value, " \t");
		*length = strcspn(value, "\r\n");
		while (*length && (value[*length - 1] == ' ' || value[*length - 1] == '\t'))
			--*length;
		return value;
	}
	return NULL;
}

void health_door_read_answer(const char *text, size_t length, struct health_door_answer *answer)
{
	AUTO_FREE char *copy = strndup(text, length);
	char *body = copy ? strstr(copy, "\r\n\r\n") : NULL;
	unsigned status = 0;
	size_t size = 0;

	*answer = (struct health_door_answer){ .result = HEALTH_DOOR_CLOSED };
	if (!body || sscanf(copy, "HTTP/1.%*1[01] %3u", &status) != 1 || status < 100)
		return;
	*body = '\0';
	body += 4;
	answer->result = HEALTH_DOOR_ANSWERED;
	answer->status = status;
	const char *value = health_door_find_header(copy, "Weft-Refused", &size);
	if (value)
		snprintf(answer->reason, sizeof(answer->reason), "%.*s", (int)size, value);
	/* What is behind the body is not of it: a program that carries TLS for us may add words of its own. */
	value = health_door_find_header(copy, "Content-Length", &size);
	size = value ? strtoul(value, NULL, 10) : strlen(body);
	snprintf(answer->body, sizeof(answer->body), "%.*s",
		 (int)(size < sizeof(answer->body) ? size : sizeof(answer->body)), body);
}

/* Whether the answer is whole, as far as its Content-Length tells. */
static bool health_door_is_whole(const char *text)
{
	const char *body = strstr(text, "\r\n\r\n");
	size_t length;

	if (!body)
		return false;
	const char *value = health_door_find_header(text, "Content-Length", &length);
	return value && value < body && strlen(body + 4) >= strtoul(value, NULL, 10);
}

/* ---- Asking ---- */

static bool health_door_wait(int fd, short events, uint64_t deadline_us)
{
	for (;;) {
		uint64_t now = clock_now_us();
		struct pollfd poll_fd = { .fd = fd, .events = events };

		int ready = poll(&poll_fd, 1, now < deadline_us ? (int)((deadline_us - now) / 1000 + 1) : 0);
		if (ready > 0)
			return true;
		if ((ready < 0 && errno != EINTR) || now >= deadline_us)
			return false;
	}
}

/* A connected socket, or -1 with the errno in ANSWER. */
static int health_door_connect(const struct sockaddr *to, socklen_t length, uint64_t deadline_us,
			       struct health_door_answer *answer)
{
	AUTO_FD int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(answer->error);

	answer->result = HEALTH_DOOR_UNREACHED;
	answer->error = errno;
	if (fd < 0)
		return -1;
	answer->error = connect(fd, to, length) < 0 ? errno : 0;
	if (answer->error == EINPROGRESS) {
		answer->error = ETIMEDOUT;
		if (health_door_wait(fd, POLLOUT, deadline_us) &&
		    getsockopt(fd, SOL_SOCKET, SO_ERROR, &answer->error, &size) < 0)
			answer->error = errno;
	}
	return answer->error ? -1 : steal_fd(&fd);
}

/* Reads into TEXT until the answer is whole or ends. Its size; -1: the deadline has come. */
static ssize_t health_door_receive(int fd, uint64_t deadline_us, char text[static HEALTH_DOOR_ANSWER_MAX + 1])
{
	size_t length = 0;

	text[0] = '\0';
	while (length < HEALTH_DOOR_ANSWER_MAX && !health_door_is_whole(text)) {
		if (!health_door_wait(fd, POLLIN, deadline_us))
			return -1;
		ssize_t got = recv(fd, text + length, HEALTH_DOOR_ANSWER_MAX - length, 0);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (got <= 0)
			break;
		length += (size_t)got;
		text[length] = '\0';
	}
	return (ssize_t)length;
}

/* Sends SIZE bytes, which a socket's buffer holds, and reads the answer. */
static void health_door_exchange(const struct sockaddr *to, socklen_t length, const void *request, size_t size,
				 struct health_door_answer *answer)
{
	uint64_t started = clock_now_us(), deadline = started + (uint64_t)HEALTH_DOOR_ASK_MS * 1000;
	char text[HEALTH_DOOR_ANSWER_MAX + 1];

	*answer = (struct health_door_answer){ 0 };
	AUTO_FD int fd = health_door_connect(to, length, deadline, answer);
	if (fd < 0)
		return;
	/* One that hangs up at once may have answered all the same. */
	(void)!send(fd, request, size, MSG_NOSIGNAL);
	ssize_t got = health_door_receive(fd, deadline, text);
	if (got < 0)
		*answer = (struct health_door_answer){ .result = HEALTH_DOOR_SILENT };
	else
		health_door_read_answer(text, (size_t)got, answer);
	answer->took_us = clock_now_us() - started;
}

void health_door_ask(const struct addr *to, const struct health_door_question *question,
		     struct health_door_answer *answer)
{
	char text[HEALTH_DOOR_REQUEST_MAX];

	health_door_request(question, text);
	health_door_exchange(&to->any, addr_length(to), text, strlen(text), answer);
}

void health_door_reach(const struct addr *to, struct health_door_answer *answer)
{
	uint64_t deadline = clock_now_us() + (uint64_t)HEALTH_DOOR_ASK_MS * 1000;
	AUTO_FD int fd = health_door_connect(&to->any, addr_length(to), deadline, answer);

	if (fd >= 0)
		*answer = (struct health_door_answer){ 0 };
}

/* Bytes of a PROXY header without addresses and of the request behind it. */
static size_t health_door_write_knock(const struct health_door_question *question,
				      char bytes[static HEALTH_DOOR_REQUEST_MAX + 128])
{
	char *tlv = bytes + PROXY_V2_HEAD_SIZE, *request;
	char wanted[96];
	int length = snprintf(wanted, sizeof(wanted), "h/%s/%u/", question->id, question->port);

	memset(bytes, 0, PROXY_V2_HEAD_SIZE + PROXY_V2_TLV_HEAD_SIZE);
	memcpy(bytes, PROXY_V2_SIGNATURE, PROXY_V2_SIGNATURE_SIZE);
	bytes[PROXY_V2_VERSION_AT] = PROXY_V2_VERSION << 4 | PROXY_V2_COMMAND_PROXY;
	bytes[PROXY_V2_FAMILY_AT] = PROXY_V2_UNSPECIFIED;
	bytes[PROXY_V2_LENGTH_AT + 1] = (char)(PROXY_V2_TLV_HEAD_SIZE + length);
	tlv[0] = PROXY_V2_UNIQUE_ID;
	tlv[2] = (char)length;
	memcpy(tlv + PROXY_V2_TLV_HEAD_SIZE, wanted, (size_t)length);
	request = tlv + PROXY_V2_TLV_HEAD_SIZE + length;
	health_door_request(question, request);
	return (size_t)(request - bytes) + strlen(request);
}

/* False: PATH is too long for one. */
static bool health_door_address(const char *path, struct sockaddr_un *to)
{
	*to = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(to->sun_path))
		return false;
	strcpy(to->sun_path, path);
	return true;
}

void health_door_knock(const char *path, struct health_door_answer *answer)
{
	const struct health_door_question question = {
		.host = "localhost", .id = BASE_NAME_OF_CHECKS, .port = SOME_PORT, .path = "/"
	};
	char bytes[HEALTH_DOOR_REQUEST_MAX + 128] = "";
	size_t size = health_door_write_knock(&question, bytes);
	struct sockaddr_un to;

	if (health_door_address(path, &to))
		health_door_exchange((const struct sockaddr *)&to, sizeof(to), bytes, size, answer);
	else
		*answer = (struct health_door_answer){ .result = HEALTH_DOOR_UNREACHED, .error = ENAMETOOLONG };
}

void health_door_ask_version(const char *path, char *text, size_t size)
{
	static const char command[] = "show info\n", name[] = "\nVersion: ";
	uint64_t deadline = clock_now_us() + (uint64_t)HEALTH_DOOR_ASK_MS * 1000;
	char said[HEALTH_DOOR_ANSWER_MAX + 1];
	struct health_door_answer ignored;
	struct sockaddr_un to;

	if (!health_door_address(path, &to))
		return;
	AUTO_FD int fd = health_door_connect((const struct sockaddr *)&to, sizeof(to), deadline, &ignored);
	if (fd < 0 || send(fd, command, strlen(command), MSG_NOSIGNAL) < 0 ||
	    health_door_receive(fd, deadline, said) < 0)
		return;
	const char *version = strstr(said, name);
	size_t digits = version ? strspn(version + strlen(name), "0123456789.") : 0;
	if (digits)
		snprintf(text, size, "%.*s", (int)digits, version + strlen(name));
}

/* ---- Judging ---- */

bool health_door_is_right(const struct health_door_answer *answer)
{
	return answer->result == HEALTH_DOOR_ANSWERED && answer->status == RIGHT_STATUS &&
	       strcmp(answer->body, right_body) == 0;
}

bool health_door_is_weftd(const struct health_door_answer *answer)
{
	return answer->result == HEALTH_DOOR_ANSWERED && strcmp(answer->reason, "not-found") == 0;
}

char *health_door_describe(const struct health_door_answer *answer, char text[static HEALTH_DOOR_TEXT_SIZE])
{
	char line[64];

	switch (answer->result) {
	case HEALTH_DOOR_NOT_ASKED:
		snprintf(text, HEALTH_DOOR_TEXT_SIZE, "not asked");
		break;
	case HEALTH_DOOR_SILENT:
		snprintf(text, HEALTH_DOOR_TEXT_SIZE, "no answer within %d s", HEALTH_DOOR_ASK_MS / 1000);
		break;
	case HEALTH_DOOR_CLOSED:
		snprintf(text, HEALTH_DOOR_TEXT_SIZE, "closed without an answer in HTTP");
		break;
	case HEALTH_DOOR_UNREACHED:
		snprintf(text, HEALTH_DOOR_TEXT_SIZE, "%s", strerror(answer->error));
		break;
	case HEALTH_DOOR_ANSWERED:
		snprintf(line, sizeof(line), "%.*s", (int)strcspn(answer->body, "\r\n"), answer->body);
		/* Of anybody who listens there. */
		for (char *at = line; *at; at++)
			if (*at < ' ' || *at > '~')
				*at = '?';
		snprintf(text, HEALTH_DOOR_TEXT_SIZE, "status %u%s%s", answer->status, line[0] ? ": " : "", line);
		break;
	}
	return text;
}

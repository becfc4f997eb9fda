/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kinds of servers, one after the other. server.c sees only the table at the end.
 */
#include "guest/server.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { HEAD = 8192 }; /* the longest head of an HTTP request */

static uint32_t crc_table[256];

void kinds_prepare(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t value = i;

		for (int bit = 0; bit < 8; bit++)
			value = value & 1 ? 0xedb88320 ^ (value >> 1) : value >> 1;
		crc_table[i] = value;
	}
}

static uint32_t crc_add(uint32_t crc, const char *bytes, size_t length)
{
	crc = ~crc;
	for (size_t i = 0; i < length; i++)
		crc = crc_table[(crc ^ (unsigned char)bytes[i]) & 255] ^ (crc >> 8);
	return ~crc;
}

static void echo_data(struct connection *connection, const char *bytes, size_t length)
{
	connection_queue(connection, bytes, length);
}

static void finish(struct connection *connection)
{
	connection->finishing = true;
}

static void sink_data(struct connection *connection, const char *bytes, size_t length)
{
	(void)connection, (void)bytes, (void)length;
}

static void sink_fin(struct connection *connection)
{
	char text[64];
	int length = snprintf(text, sizeof(text), "%llu\n", (unsigned long long)connection->received);

	connection_queue(connection, text, (size_t)length);
	finish(connection);
}

static void sum_data(struct connection *connection, const char *bytes, size_t length)
{
	connection->crc = crc_add(connection->crc, bytes, length);
}

static void sum_fin(struct connection *connection)
{
	char text[64];
	int length =
	    snprintf(text, sizeof(text), "%llu %08x\n", (unsigned long long)connection->received, connection->crc);

	connection_queue(connection, text, (size_t)length);
	finish(connection);
}

static void source_started(struct connection *connection)
{
	const char *argument = connection->listener->argument;

	connection->pattern_left = *argument ? strtoull(argument, NULL, 10) : ENDLESS;
	connection->finishing = true;
}

static void half_started(struct connection *connection)
{
	connection->corked = true;
}

static void half_fin(struct connection *connection)
{
	connection_answer_in(connection, strtoull(connection->listener->argument, NULL, 10));
	finish(connection);
}

static void reset_now(struct connection *connection)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	connection_end(connection, "closed");
}

static void reset_data(struct connection *connection, const char *bytes, size_t length)
{
	(void)bytes, (void)length;
	if (connection->received >= strtoull(connection->listener->argument, NULL, 10))
		reset_now(connection);
}

static void reset_started(struct connection *connection)
{
	reset_data(connection, NULL, 0);
}

static void answer(struct connection *connection, const char *status, const char *body, uint64_t length)
{
	char text[512];
	int head = snprintf(text, sizeof(text), "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %llu\r\n\r\n%s",
			    status, body ? "application/json" : "application/octet-stream", (unsigned long long)length,
			    body ? body : "");

	connection_queue(connection, text, (size_t)head);
}

static void http_answer(struct connection *connection, const char *path, uint64_t body_length)
{
	const struct fwd_listener *listener = connection->listener;
	char body[256];

	if (strncmp(path, "/bytes/", 7) == 0) {
		uint64_t length = strtoull(path + 7, NULL, 10);

		answer(connection, "200 OK", NULL, length);
		connection_send_pattern(connection, length);
	} else if (strcmp(path, "/health") == 0 || body_length) {
		int length = snprintf(body, sizeof(body), "{\"guest\": \"%s\", \"port\": %u, \"body\": %llu}\n",
				      listener->argument, listener->port, (unsigned long long)body_length);
		answer(connection, "200 OK", body, (uint64_t)length);
	} else {
		answer(connection, "404 Not Found", "{}\n", 3);
	}
}

/* Reads one head if all of it is there; false if not. The bytes behind it stay in head[]. */
static bool http_head(struct connection *connection)
{
	char *head = connection->head;

	head[connection->head_used] = '\0';
	char *over = strstr(head, "\r\n\r\n");
	if (!over) {
		if (connection->head_used == HEAD - 1)
			reset_now(connection);
		return false;
	}
	*over = '\0';
	size_t length = (size_t)(over + 4 - head);
	char *field = strcasestr(head, "\r\nContent-Length:");
	char path[1024] = "";
	connection->body_left = field ? strtoull(field + 17, NULL, 10) : 0;
	sscanf(head, "%*s %1023s", path);
	connection->upload = strcmp(path, "/upload") == 0 ? connection->body_left : 0;
	if (!connection->upload)
		http_answer(connection, path, connection->body_left);
	memmove(head, head + length, connection->head_used - length);
	connection->head_used -= length;
	return true;
}

/* LENGTH bytes of a body came. */
static void http_body(struct connection *connection, size_t length)
{
	connection->body_left -= length;
	if (connection->body_left || !connection->upload)
		return;
	http_answer(connection, "/upload", connection->upload);
	connection->upload = 0;
}

static void http_data(struct connection *connection, const char *bytes, size_t length)
{
	if (!connection->head && !(connection->head = malloc(HEAD)))
		err(1, "malloc");
	while (length && connection->fd >= 0) {
		size_t room = HEAD - 1 - connection->head_used;
		size_t part = length < room ? length : room;

		if (connection->body_left) {
			part = length < connection->body_left ? length : (size_t)connection->body_left;
			http_body(connection, part);
			bytes += part;
			length -= part;
			continue;
		}
		memcpy(connection->head + connection->head_used, bytes, part);
		connection->head_used += part;
		bytes += part;
		length -= part;
		while (connection->fd >= 0 && connection->head_used && http_head(connection)) {
			size_t body = connection->head_used < connection->body_left ? connection->head_used
										    : (size_t)connection->body_left;
			memmove(connection->head, connection->head + body, connection->head_used - body);
			connection->head_used -= body;
			http_body(connection, body);
		}
	}
}

static const struct kind kinds[] = {
	{ .name = "http", .data = http_data },
	{ .name = "echo", .data = echo_data, .fin = finish },
	{ .name = "sink", .data = sink_data, .fin = sink_fin, .discards = true },
	{ .name = "sum", .data = sum_data, .fin = sum_fin },
	{ .name = "source", .data = sink_data, .started = source_started, .fin = finish, .discards = true },
	{ .name = "half", .data = echo_data, .started = half_started, .fin = half_fin },
	{ .name = "reset", .data = reset_data, .started = reset_started },
	{ .name = "silent" },
};

const struct kind *kind_find(const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	errx(64, "no kind of server: %s", name);
}

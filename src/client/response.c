/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each state names the next part. Lines are gathered whole, with a limit, and then read; bodies are passed on as
 * they come. A line ends with CR LF or, as RFC 9112 allows a reader, with LF alone.
 */
#include "client/response.h"

#include "base/err.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The bytes are no response. The code is for callers; "Protocol error" would add nothing to the text. */
static int client_malformed(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3), cold));

static int client_malformed(struct err *err, const char *format, ...)
{
	char text[128];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	err_set(err, 0, "%s", text);
	err->code = EPROTO;
	return -1;
}

void client_response_init(struct client_response *response,
			  bool (*body)(void *context, const char *data, size_t length), void *context)
{
	memset(response, 0, offsetof(struct client_response, line));
	response->body = body;
	response->context = context;
}

/* "HTTP/1.1 200 OK" */
static int client_read_status_line(struct client_response *response, struct err *err)
{
	const char *line = response->line;

	if (strncmp(line, "HTTP/1.", 7) != 0 || (line[7] != '0' && line[7] != '1') || line[8] != ' ')
		return client_malformed(err, "what answers is not HTTP/1.1");
	const char *code = line + 9;
	if (!isdigit((unsigned char)code[0]) || !isdigit((unsigned char)code[1]) || !isdigit((unsigned char)code[2]) ||
	    (code[3] && code[3] != ' '))
		return client_malformed(err, "a status line without a status");
	response->status = (unsigned)((code[0] - '0') * 100 + (code[1] - '0') * 10 + (code[2] - '0'));
	if (response->status < 100 || response->status > 599)
		return client_malformed(err, "status %u is none of HTTP's", response->status);
	response->state = RESPONSE_FIELDS;
	return 0;
}

static int client_read_length(struct client_response *response, const char *value, struct err *err)
{
	uint64_t length = 0;

	if (!*value || strlen(value) > 18)
		return client_malformed(err, "Content-Length is no length");
	for (const char *digit = value; *digit; digit++) {
		if (!isdigit((unsigned char)*digit))
			return client_malformed(err, "Content-Length is no length");
		length = length * 10 + (uint64_t)(*digit - '0');
	}
	if (response->has_length && response->remaining != length)
		return client_malformed(err, "two different Content-Lengths");
	response->has_length = true;
	response->remaining = length;
	return 0;
}

static void client_read_type(struct client_response *response, const char *value)
{
	size_t length = strcspn(value, "; \t");

	if (length >= sizeof(response->content_type))
		return;
	for (size_t i = 0; i < length; i++)
		response->content_type[i] = (char)tolower((unsigned char)value[i]);
	response->content_type[length] = '\0';
}

/* Whole seconds; the other form, a date, is weftd's never, and is passed over as if there were none. */
static void client_read_retry(struct client_response *response, const char *value)
{
	enum { DAY_S = 86400 };
	size_t digits = strspn(value, "0123456789");

	if (!digits || value[digits])
		return;
	unsigned long seconds = digits > 5 ? DAY_S : strtoul(value, NULL, 10);
	response->retry_after_s = seconds > DAY_S ? DAY_S : (unsigned)seconds;
}

/* A field, "Name: value". A few matter here; the others need only look like a field. */
static int client_read_field(struct client_response *response, struct err *err)
{
	char *colon = strchr(response->line, ':');

	if (++response->fields > RESPONSE_FIELDS_MAX)
		return client_malformed(err, "more than %d header fields", RESPONSE_FIELDS_MAX);
	if (!colon || colon == response->line || strcspn(response->line, " \t") < (size_t)(colon - response->line))
		return client_malformed(err, "a header line that is no field");
	*colon = '\0';
	char *value = colon + 1 + strspn(colon + 1, " \t");
	for (size_t end = strlen(value); end && strchr(" \t", value[end - 1]); end--)
		value[end - 1] = '\0';

	/* Trailers say nothing that we act upon. */
	if (response->state == RESPONSE_TRAILERS)
		return 0;
	if (strcasecmp(response->line, "Content-Length") == 0)
		return client_read_length(response, value, err);
	if (strcasecmp(response->line, "Content-Type") == 0)
		client_read_type(response, value);
	if (strcasecmp(response->line, "Retry-After") == 0)
		client_read_retry(response, value);
	if (strcasecmp(response->line, "Transfer-Encoding") == 0) {
		if (strcasecmp(value, "chunked") != 0 || response->chunked)
			return client_malformed(err, "a transfer coding other than chunked");
		response->chunked = true;
	}
	return 0;
}

/* At the empty line after the fields, decides how the body is delimited (RFC 9112 section 6.3). */
static int client_begin_body(struct client_response *response, struct err *err)
{
	if (response->chunked && response->has_length)
		return client_malformed(err, "both a length and chunks");
	if (response->status < 200) {
		if (response->chunked || response->has_length)
			return client_malformed(err, "an interim answer with a body");
		response->state = RESPONSE_STATUS_LINE;
	} else if (response->status == 204 || response->status == 304) {
		response->state = RESPONSE_DONE;
	} else if (response->chunked) {
		response->state = RESPONSE_CHUNK_SIZE;
	} else if (response->has_length) {
		response->state = response->remaining ? RESPONSE_LENGTH_BODY : RESPONSE_DONE;
	} else {
		response->state = RESPONSE_REST_BODY;
	}
	return 0;
}

/* "1a3", perhaps with ";extension" */
static int client_read_chunk_size(struct client_response *response, struct err *err)
{
	size_t digits = strspn(response->line, "0123456789abcdefABCDEF");

	if (!digits || digits > 8 || (response->line[digits] && !strchr("; \t", response->line[digits])))
		return client_malformed(err, "a chunk without a size");
	response->remaining = strtoul(response->line, NULL, 16);
	response->state = response->remaining ? RESPONSE_CHUNK_DATA : RESPONSE_TRAILERS;
	return 0;
}

/* A line is complete, without its end. */
static int client_read_line(struct client_response *response, struct err *err)
{
	bool empty = response->line_length == 0;

	switch (response->state) {
	case RESPONSE_STATUS_LINE:
		return client_read_status_line(response, err);
	case RESPONSE_FIELDS:
		return empty ? client_begin_body(response, err) : client_read_field(response, err);
	case RESPONSE_CHUNK_SIZE:
		return client_read_chunk_size(response, err);
	case RESPONSE_CHUNK_END:
		if (!empty)
			return client_malformed(err, "a chunk longer than its size");
		response->state = RESPONSE_CHUNK_SIZE;
		return 0;
	case RESPONSE_TRAILERS:
		if (!empty)
			return client_read_field(response, err);
		response->state = RESPONSE_DONE;
		return 0;
	case RESPONSE_LENGTH_BODY:
	case RESPONSE_CHUNK_DATA:
	case RESPONSE_REST_BODY:
	case RESPONSE_DONE:
		break;
	}
	return client_malformed(err, "bytes after the answer");
}

/* Takes bytes up to the end of a line. Returns how many, or -1 with ERR. */
static ssize_t client_feed_line(struct client_response *response, const char *data, size_t length, struct err *err)
{
	const char *end = memchr(data, '\n', length);
	size_t taken = end ? (size_t)(end - data) : length;

	if (memchr(data, '\0', taken))
		return client_malformed(err, "a NUL in the header");
	if (response->line_length + taken >= RESPONSE_LINE_MAX)
		return client_malformed(err, "a line longer than %d bytes", RESPONSE_LINE_MAX);
	memcpy(response->line + response->line_length, data, taken);
	response->line_length += taken;
	if (!end)
		return (ssize_t)taken;

	if (response->line_length && response->line[response->line_length - 1] == '\r')
		response->line_length--;
	response->line[response->line_length] = '\0';
	int result = client_read_line(response, err);
	response->line_length = 0;
	return result < 0 ? -1 : (ssize_t)taken + 1;
}

/* Passes on bytes of a body. Returns how many. */
static size_t client_feed_body(struct client_response *response, const char *data, size_t length)
{
	bool counted = response->state != RESPONSE_REST_BODY;

	if (counted && length > response->remaining)
		length = (size_t)response->remaining;
	if (response->body && length && !response->body(response->context, data, length)) {
		response->state = RESPONSE_DONE;
		return length;
	}
	if (counted)
		response->remaining -= length;
	if (counted && !response->remaining)
		response->state = response->state == RESPONSE_CHUNK_DATA ? RESPONSE_CHUNK_END : RESPONSE_DONE;
	return length;
}

static bool client_is_body(enum client_response_state state)
{
	return state == RESPONSE_LENGTH_BODY || state == RESPONSE_CHUNK_DATA || state == RESPONSE_REST_BODY;
}

int client_response_feed(struct client_response *response, const char *data, size_t length, struct err *err)
{
	while (length && response->state != RESPONSE_DONE) {
		ssize_t taken = client_is_body(response->state) ? (ssize_t)client_feed_body(response, data, length)
								: client_feed_line(response, data, length, err);
		if (taken < 0)
			return -1;
		data += taken;
		length -= (size_t)taken;
	}
	return 0;
}

int client_response_end(struct client_response *response, struct err *err)
{
	if (response->state == RESPONSE_REST_BODY)
		response->state = RESPONSE_DONE;
	if (response->state == RESPONSE_DONE)
		return 0;
	if (response->state == RESPONSE_STATUS_LINE && !response->line_length) {
		err_set(err, 0, "the connection was closed without an answer");
		err->code = ECONNRESET;
		return -1;
	}
	return client_malformed(err, "the answer was cut off");
}

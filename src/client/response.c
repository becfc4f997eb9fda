/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A state for each thing that may come next. Lines are gathered whole, with a limit, and then judged; bodies are passed on as
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

/* What came is no response. The code is for callers; to people "Protocol error" says nothing that the text does not. */
static int malformed(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3), cold));

static int malformed(struct err *err, const char *format, ...)
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

void http_response_init(struct http_response *response, bool (*body)(void *context, const char *data, size_t length),
			void *context)
{
	memset(response, 0, offsetof(struct http_response, line));
	response->body = body;
	response->context = context;
}

/* "HTTP/1.1 200 OK" */
static int read_status_line(struct http_response *response, struct err *err)
{
	const char *line = response->line;

	if (strncmp(line, "HTTP/1.", 7) != 0 || (line[7] != '0' && line[7] != '1') || line[8] != ' ')
		return malformed(err, "what answers is not HTTP/1.1");
	const char *code = line + 9;
	if (!isdigit((unsigned char)code[0]) || !isdigit((unsigned char)code[1]) || !isdigit((unsigned char)code[2]) ||
	    (code[3] && code[3] != ' '))
		return malformed(err, "a status line without a status");
	response->status = (unsigned)((code[0] - '0') * 100 + (code[1] - '0') * 10 + (code[2] - '0'));
	if (response->status < 100 || response->status > 599)
		return malformed(err, "status %u is none of HTTP's", response->status);
	response->state = HTTP_FIELDS;
	return 0;
}

static int read_length(struct http_response *response, const char *value, struct err *err)
{
	uint64_t length = 0;

	if (!*value || strlen(value) > 18)
		return malformed(err, "Content-Length is no length");
	for (const char *digit = value; *digit; digit++) {
		if (!isdigit((unsigned char)*digit))
			return malformed(err, "Content-Length is no length");
		length = length * 10 + (uint64_t)(*digit - '0');
	}
	if (response->has_length && response->remaining != length)
		return malformed(err, "two different Content-Lengths");
	response->has_length = true;
	response->remaining = length;
	return 0;
}

static void read_type(struct http_response *response, const char *value)
{
	size_t length = strcspn(value, "; \t");

	if (length >= sizeof(response->content_type))
		return;
	for (size_t i = 0; i < length; i++)
		response->content_type[i] = (char)tolower((unsigned char)value[i]);
	response->content_type[length] = '\0';
}

/* "Name: value": the few that matter here; all others need only look like a field. */
static int read_field(struct http_response *response, struct err *err)
{
	char *colon = strchr(response->line, ':');

	if (++response->fields > HTTP_FIELDS_MAX)
		return malformed(err, "more than %d header fields", HTTP_FIELDS_MAX);
	if (!colon || colon == response->line || strcspn(response->line, " \t") < (size_t)(colon - response->line))
		return malformed(err, "a header line that is no field");
	*colon = '\0';
	char *value = colon + 1 + strspn(colon + 1, " \t");
	for (size_t end = strlen(value); end && strchr(" \t", value[end - 1]); end--)
		value[end - 1] = '\0';

	/* Trailers say nothing that we act upon. */
	if (response->state == HTTP_TRAILERS)
		return 0;
	if (strcasecmp(response->line, "Content-Length") == 0)
		return read_length(response, value, err);
	if (strcasecmp(response->line, "Content-Type") == 0)
		read_type(response, value);
	if (strcasecmp(response->line, "Transfer-Encoding") == 0) {
		if (strcasecmp(value, "chunked") != 0 || response->chunked)
			return malformed(err, "a transfer coding other than chunked");
		response->chunked = true;
	}
	return 0;
}

/* The empty line after the fields: what body follows, RFC 9112 section 6.3. */
static int begin_body(struct http_response *response, struct err *err)
{
	if (response->chunked && response->has_length)
		return malformed(err, "both a length and chunks");
	if (response->status < 200) {
		if (response->chunked || response->has_length)
			return malformed(err, "an interim answer with a body");
		response->state = HTTP_STATUS_LINE;
	} else if (response->status == 204 || response->status == 304) {
		response->state = HTTP_DONE;
	} else if (response->chunked) {
		response->state = HTTP_CHUNK_SIZE;
	} else if (response->has_length) {
		response->state = response->remaining ? HTTP_LENGTH_BODY : HTTP_DONE;
	} else {
		response->state = HTTP_REST_BODY;
	}
	return 0;
}

/* "1a3", perhaps with ";extension" */
static int read_chunk_size(struct http_response *response, struct err *err)
{
	size_t digits = strspn(response->line, "0123456789abcdefABCDEF");

	if (!digits || digits > 8 || (response->line[digits] && !strchr("; \t", response->line[digits])))
		return malformed(err, "a chunk without a size");
	response->remaining = strtoul(response->line, NULL, 16);
	response->state = response->remaining ? HTTP_CHUNK_DATA : HTTP_TRAILERS;
	return 0;
}

/* A line is complete, without its end. */
static int read_line(struct http_response *response, struct err *err)
{
	bool empty = response->line_length == 0;

	switch (response->state) {
	case HTTP_STATUS_LINE:
		return read_status_line(response, err);
	case HTTP_FIELDS:
		return empty ? begin_body(response, err) : read_field(response, err);
	case HTTP_CHUNK_SIZE:
		return read_chunk_size(response, err);
	case HTTP_CHUNK_END:
		if (!empty)
			return malformed(err, "a chunk longer than its size");
		response->state = HTTP_CHUNK_SIZE;
		return 0;
	case HTTP_TRAILERS:
		if (!empty)
			return read_field(response, err);
		response->state = HTTP_DONE;
		return 0;
	case HTTP_LENGTH_BODY:
	case HTTP_CHUNK_DATA:
	case HTTP_REST_BODY:
	case HTTP_DONE:
		break;
	}
	return malformed(err, "bytes after the answer");
}

/* Takes bytes up to the end of a line. Returns how many, or -1 with ERR. */
static ssize_t feed_line(struct http_response *response, const char *data, size_t length, struct err *err)
{
	const char *end = memchr(data, '\n', length);
	size_t taken = end ? (size_t)(end - data) : length;

	if (memchr(data, '\0', taken))
		return malformed(err, "a NUL in the header");
	if (response->line_length + taken >= HTTP_LINE_MAX)
		return malformed(err, "a line longer than %d bytes", HTTP_LINE_MAX);
	memcpy(response->line + response->line_length, data, taken);
	response->line_length += taken;
	if (!end)
		return (ssize_t)taken;

	if (response->line_length && response->line[response->line_length - 1] == '\r')
		response->line_length--;
	response->line[response->line_length] = '\0';
	int result = read_line(response, err);
	response->line_length = 0;
	return result < 0 ? -1 : (ssize_t)taken + 1;
}

/* Passes on bytes of a body. Returns how many. */
static size_t feed_body(struct http_response *response, const char *data, size_t length)
{
	bool counted = response->state != HTTP_REST_BODY;

	if (counted && length > response->remaining)
		length = (size_t)response->remaining;
	if (response->body && length && !response->body(response->context, data, length)) {
		response->state = HTTP_DONE;
		return length;
	}
	if (counted)
		response->remaining -= length;
	if (counted && !response->remaining)
		response->state = response->state == HTTP_CHUNK_DATA ? HTTP_CHUNK_END : HTTP_DONE;
	return length;
}

static bool is_body(enum http_state state)
{
	return state == HTTP_LENGTH_BODY || state == HTTP_CHUNK_DATA || state == HTTP_REST_BODY;
}

int http_response_feed(struct http_response *response, const char *data, size_t length, struct err *err)
{
	while (length && response->state != HTTP_DONE) {
		ssize_t taken = is_body(response->state) ? (ssize_t)feed_body(response, data, length)
							 : feed_line(response, data, length, err);
		if (taken < 0)
			return -1;
		data += taken;
		length -= (size_t)taken;
	}
	return 0;
}

int http_response_end(struct http_response *response, struct err *err)
{
	if (response->state == HTTP_REST_BODY)
		response->state = HTTP_DONE;
	if (response->state == HTTP_DONE)
		return 0;
	if (response->state == HTTP_STATUS_LINE && !response->line_length) {
		err_set(err, 0, "the connection was closed without an answer");
		err->code = ECONNRESET;
		return -1;
	}
	return malformed(err, "the answer was cut off");
}

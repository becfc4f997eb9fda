/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The head is read from its first byte each time more bytes have come. It is short, and a parser without a memory cannot be led
 * astray by the cuts between segments. A client that sends single bytes causes at most HEAD_MAX scans within its deadline.
 *
 * The parser is strict where two readers could disagree: no folded fields, no second Content-Length, no Content-Length beside
 * Transfer-Encoding, no blank before a field's colon, no bare CR or NUL anywhere.
 */
#include "http/head.h"

#include <string.h>
#include <strings.h>

static bool http_head_is_token_char(char c)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
		return true;
	return c != '\0' && strchr("!#$%&'*+-.^_`|~", c);
}

static bool http_head_is_token(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (!http_head_is_token_char(text[i]))
			return false;
	return length > 0;
}

/*
 * Finds the length of the line at FROM, without its end, and the beginning of the next one. 0, or -1 while its LF has not
 * come.
 */
static int http_head_next_line(const char *bytes, size_t length, size_t from, size_t *line_length, size_t *next)
{
	const char *end = memchr(bytes + from, '\n', length - from);

	if (!end)
		return -1;
	*next = (size_t)(end - bytes) + 1;
	*line_length = (size_t)(end - bytes) - from;
	if (*line_length && end[-1] == '\r')
		--*line_length;
	return 0;
}

static enum http_method http_head_read_method(const char *text, size_t length)
{
	static const struct {
		const char *name;
		enum http_method method;
	} known[] = { { "GET", HTTP_GET },     { "HEAD", HTTP_HEAD }, { "PUT", HTTP_PUT },
		      { "PATCH", HTTP_PATCH }, { "POST", HTTP_POST }, { "DELETE", HTTP_DELETE } };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strlen(known[i].name) == length && !memcmp(known[i].name, text, length))
			return known[i].method;
	return HTTP_OTHER;
}

/*
 * RFC 9112, 3.2.2: a target in absolute form, as clients send it to a proxy, has the authority in it, and the Host field is ignored.
 * NULL, or a sentence that says why it is refused.
 */
static const char *http_head_split_absolute(struct head *head)
{
	static const char *const schemes[] = { "http://", "https://" }; /* a proxy in front may speak TLS */
	const char *end = head->target + head->target_length, *authority = NULL;

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (head->target_length >= strlen(schemes[i]) &&
		    !strncasecmp(head->target, schemes[i], strlen(schemes[i])))
			authority = head->target + strlen(schemes[i]);
	if (!authority)
		return NULL;

	const char *path = authority;
	while (path < end && *path != '/' && *path != '?' && *path != '#')
		path++;
	size_t length = (size_t)(path - authority);
	if (!length || length > HEAD_HOST_MAX || *authority == ':' || memchr(authority, '@', length))
		return "the target's authority is not \"host\" or \"host:port\"";
	if (path < end && *path != '/')
		return "the target has no path before its query";
	memcpy(head->host, authority, length);
	head->has_host = true;
	/* Without a path it is "/", as the last byte of "://" is. */
	head->target = path < end ? path : authority - 1;
	head->target_length = path < end ? (size_t)(end - path) : 1;
	return NULL;
}

/* The target reaches from the first blank to the last, for a blank inside it is a mistake in the target, not another protocol. */
static enum head_verdict http_head_read_request_line(const char *line, size_t length, struct head *head)
{
	const char *first = memchr(line, ' ', length);
	const char *last = memrchr(line, ' ', length);

	if (!first || first == last || !http_head_is_token(line, (size_t)(first - line)))
		return HEAD_NOT_HTTP;

	size_t version_length = length - (size_t)(last + 1 - line);
	if (version_length != 8 || (memcmp(last + 1, "HTTP/1.0", 8) != 0 && memcmp(last + 1, "HTTP/1.1", 8) != 0))
		return HEAD_NOT_HTTP;

	head->method = http_head_read_method(line, (size_t)(first - line));
	head->minor = (unsigned)(last[8] - '0');
	head->close = head->minor == 0;
	head->target = first + 1;
	head->target_length = (size_t)(last - first - 1);
	head->printable = true;
	for (size_t i = 0; i < head->target_length; i++)
		if (head->target[i] <= ' ' || head->target[i] >= 0x7f)
			head->printable = false;
	if (!head->target_length) {
		head->detail = "the request has no target";
		return HEAD_BAD;
	}
	head->detail = http_head_split_absolute(head);
	return head->detail ? HEAD_BAD : HEAD_COMPLETE;
}

static bool http_head_same_name(const char *name, size_t length, const char *wanted)
{
	return strlen(wanted) == length && !strncasecmp(name, wanted, length);
}

static bool http_head_list_has(const char *value, size_t length, const char *word)
{
	size_t word_length = strlen(word);

	for (size_t i = 0; i < length;) {
		size_t end = i;
		while (end < length && value[end] != ',')
			end++;
		size_t first = i, last = end;
		while (first < last && (value[first] == ' ' || value[first] == '\t'))
			first++;
		while (last > first && (value[last - 1] == ' ' || value[last - 1] == '\t'))
			last--;
		if (last - first == word_length && !strncasecmp(value + first, word, word_length))
			return true;
		i = end + 1;
	}
	return false;
}

/* Which of the fields that may come once have been seen. */
struct framing {
	bool has_length, has_encoding, has_host;
};

static const char *http_head_read_content_length(const char *value, size_t length, struct framing *framing,
						 struct head *head)
{
	if (framing->has_length)
		return "more than one Content-Length";
	framing->has_length = true;
	if (!length || length > 18)
		return "Content-Length is not a number";
	for (size_t i = 0; i < length; i++) {
		if (value[i] < '0' || value[i] > '9')
			return "Content-Length is not a number";
		head->content_length = head->content_length * 10 + (uint64_t)(value[i] - '0');
	}
	return NULL;
}

static const char *http_head_read_host(const char *value, size_t length, struct framing *framing, struct head *head)
{
	if (framing->has_host)
		return "more than one Host";
	if (length > HEAD_HOST_MAX)
		return "Host is longer than a name with its port";
	framing->has_host = true;
	if (head->has_host) /* the target's own */
		return NULL;
	head->has_host = true;
	memcpy(head->host, value, length);
	return NULL;
}

/* "identity" means none, though RFC 9110, 8.4.1, has clients leave it away. */
static bool http_head_is_coded(const char *value, size_t length)
{
	return length && !http_head_same_name(value, length, "identity");
}

/* Reads one field. NULL, or a sentence that says why it is refused. */
static const char *http_head_read_field(const char *line, size_t length, struct framing *framing, struct head *head)
{
	const char *colon = memchr(line, ':', length);

	if (!colon || !http_head_is_token(line, (size_t)(colon - line)))
		return "a header line is not \"Name: value\"";

	size_t name_length = (size_t)(colon - line);
	const char *value = colon + 1;
	size_t value_length = length - name_length - 1;
	while (value_length && (*value == ' ' || *value == '\t')) {
		value++;
		value_length--;
	}
	while (value_length && (value[value_length - 1] == ' ' || value[value_length - 1] == '\t'))
		value_length--;
	for (size_t i = 0; i < value_length; i++)
		if ((value[i] >= 0 && value[i] < ' ' && value[i] != '\t') || value[i] == 0x7f)
			return "a header has a control character in it";

	if (http_head_same_name(line, name_length, "Content-Length"))
		return http_head_read_content_length(value, value_length, framing, head);
	if (http_head_same_name(line, name_length, "Host"))
		return http_head_read_host(value, value_length, framing, head);
	if (http_head_same_name(line, name_length, "Transfer-Encoding")) {
		if (framing->has_encoding || !http_head_same_name(value, value_length, "chunked") || !head->minor)
			return "Transfer-Encoding can only be chunked, once, in HTTP/1.1";
		framing->has_encoding = head->chunked = true;
	} else if (http_head_same_name(line, name_length, "Content-Encoding")) {
		head->coded |= http_head_is_coded(value, value_length);
	} else if (http_head_same_name(line, name_length, "Connection")) {
		if (http_head_list_has(value, value_length, "close"))
			head->close = true;
	} else if (http_head_same_name(line, name_length, "Expect")) {
		if (!http_head_same_name(value, value_length, "100-continue"))
			return "Expect can only be 100-continue";
		head->expect_continue = head->minor == 1;
	} else {
		http_site_read_field(&head->site, line, name_length, value, value_length);
	}
	return NULL;
}

/* Whether BYTES cannot become a request line however they go on: the first word is no token, or has no end. */
static bool http_head_is_hopeless(const char *bytes, size_t length)
{
	enum { METHOD_MAX = 32 };

	for (size_t i = 0; i < length; i++) {
		if (bytes[i] == ' ')
			return i == 0;
		if (bytes[i] == '\n' || i >= METHOD_MAX)
			return true;
		if (!http_head_is_token_char(bytes[i]) && !(bytes[i] == '\r' && i + 1 == length))
			return true;
	}
	return false;
}

static enum head_verdict http_head_read_fields(const char *bytes, size_t length, size_t at, struct head *head)
{
	struct framing framing = { 0 };
	size_t line_length, next;

	for (unsigned fields = 0;; fields++) {
		if (http_head_next_line(bytes, length, at, &line_length, &next) < 0)
			return length >= HEAD_MAX ? HEAD_TOO_LONG : HEAD_MORE;
		if (next > HEAD_MAX || (line_length && fields == HEAD_FIELDS_MAX))
			return HEAD_TOO_LONG;
		if (!line_length)
			break;
		head->detail = http_head_read_field(bytes + at, line_length, &framing, head);
		if (head->detail)
			return HEAD_BAD;
		at = next;
	}
	head->length = next;
	if (framing.has_length && framing.has_encoding)
		head->detail = "both Content-Length and Transfer-Encoding";
	else if (head->minor && !framing.has_host)
		head->detail = "HTTP/1.1 wants a Host header";
	if (head->detail)
		return HEAD_BAD;
	return head->coded ? HEAD_ENCODED : HEAD_COMPLETE;
}

enum head_verdict http_head_read(const char *bytes, size_t length, struct head *head)
{
	size_t at = 0, line_length, next;

	*head = (struct head){ 0 };
	while (at < length && (bytes[at] == '\r' || bytes[at] == '\n')) /* RFC 9112, 2.2: left over from before */
		at++;
	if (at >= HEAD_MAX)
		return HEAD_NOT_HTTP;
	if (at == length)
		return HEAD_MORE;
	if (http_head_is_hopeless(bytes + at, length - at))
		return HEAD_NOT_HTTP;
	if (http_head_next_line(bytes, length, at, &line_length, &next) < 0)
		return length >= HEAD_MAX ? HEAD_TOO_LONG : HEAD_MORE;
	if (next > HEAD_MAX)
		return HEAD_TOO_LONG;

	enum head_verdict verdict = http_head_read_request_line(bytes + at, line_length, head);
	return verdict == HEAD_COMPLETE ? http_head_read_fields(bytes, length, next, head) : verdict;
}

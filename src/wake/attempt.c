/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The request is written as the socket takes it, then the answer is read up to the end of its head, which says all that matters. A unix
 * socket connects at once or not at all.
 */
#include "wake/attempt.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/loop.h"
#include "client/response.h"
#include "wake/wake.h"

#include <errno.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { PIECE_SIZE = 4096, PIECES_MAX = 16 }; /* of an answer, in one iteration of the loop */

struct wake_attempt {
	struct event_base *base;
	int fd;
	struct event *event; /* for writing, then for reading */
	struct timer deadline;
	char *request;
	size_t length, sent;
	struct client_response response;
	wake_attempt_done *done;
	void *context;
};

void wake_attempt_stop(struct wake_attempt *attempt)
{
	if (!attempt)
		return;
	timer_free(&attempt->deadline);
	if (attempt->event)
		event_free(attempt->event);
	cleanup_fd(&attempt->fd);
	free(attempt->request);
	free(attempt);
}

static void wake_attempt_finish(struct wake_attempt *attempt, const char *why)
{
	wake_attempt_done *done = attempt->done;
	void *context = attempt->context;

	wake_attempt_stop(attempt);
	done(context, why);
}

static void wake_attempt_on_deadline(void *context)
{
	struct wake_attempt *attempt = context;

	wake_attempt_finish(attempt,
			    attempt->sent < attempt->length ? "it does not take the request" : "it does not answer");
}

/* ---- The answer ---- */

static bool wake_attempt_has_head(const struct client_response *response)
{
	return response->state != RESPONSE_STATUS_LINE && response->state != RESPONSE_FIELDS;
}

static void wake_attempt_judge(struct wake_attempt *attempt)
{
	char why[48];

	snprintf(why, sizeof(why), "it answers with status %u", attempt->response.status);
	wake_attempt_finish(attempt, attempt->response.status / 100 == 2 ? NULL : why);
}

/* One piece of the answer. False: nothing more is there for now, or ATTEMPT is finished. */
static bool wake_attempt_read(struct wake_attempt *attempt)
{
	struct err err = { 0 };
	char piece[PIECE_SIZE];
	ssize_t got = recv(attempt->fd, piece, sizeof(piece), 0);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return errno == EINTR;
	if (got < 0)
		wake_attempt_finish(attempt, strerror(errno));
	else if ((got ? client_response_feed(&attempt->response, piece, (size_t)got, &err)
		      : client_response_end(&attempt->response, &err)) < 0)
		wake_attempt_finish(attempt, err.text);
	else if (wake_attempt_has_head(&attempt->response))
		wake_attempt_judge(attempt);
	else
		return true;
	return false;
}

static void wake_attempt_on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	for (int i = 0; i < PIECES_MAX; i++)
		if (!wake_attempt_read(arg))
			return;
}

/* ---- The request ---- */

/* Makes the event that is waited for. 0, or -1: no memory. */
static int wake_attempt_await(struct wake_attempt *attempt, short what, event_callback_fn happened)
{
	if (attempt->event)
		event_free(attempt->event);
	attempt->event = event_new(attempt->base, attempt->fd, (short)(what | EV_PERSIST), happened, attempt);
	return attempt->event ? event_add(attempt->event, NULL) : -1;
}

static void wake_attempt_on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct wake_attempt *attempt = arg;
	ssize_t sent = send(fd, attempt->request + attempt->sent, attempt->length - attempt->sent, MSG_NOSIGNAL);

	(void)what;
	if (sent < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* Who ends the connection may have answered before. */
	if (sent < 0 && errno != EPIPE) {
		wake_attempt_finish(attempt, strerror(errno));
		return;
	}
	attempt->sent = sent < 0 ? attempt->length : attempt->sent + (size_t)sent;
	if (attempt->sent == attempt->length && wake_attempt_await(attempt, EV_READ, wake_attempt_on_readable) < 0)
		wake_attempt_finish(attempt, strerror(ENOMEM));
}

static int wake_attempt_write_request(struct wake_attempt *attempt, const char *body, struct err *err)
{
	int length =
	    asprintf(&attempt->request,
		     "POST /wake HTTP/1.1\r\nHost: localhost\r\nUser-Agent: weftd/" PACKAGE_VERSION
		     "\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
		     strlen(body), body);

	if (length < 0) {
		attempt->request = NULL;
		return err_set(err, ENOMEM, "manager");
	}
	attempt->length = (size_t)length;
	return 0;
}

static int wake_attempt_connect(struct wake_attempt *attempt, const char *path, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(err, ENAMETOOLONG, "%s", path);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	attempt->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (attempt->fd < 0 || connect(attempt->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return err_set(err, errno, "%s", path);
	return 0;
}

struct wake_attempt *wake_attempt_start(struct event_base *base, const char *path, const char *body,
					wake_attempt_done *done, void *context, struct err *err)
{
	struct wake_attempt *attempt = calloc(1, sizeof(*attempt));

	if (!attempt) {
		err_set(err, ENOMEM, "manager");
		return NULL;
	}
	*attempt = (struct wake_attempt){ .base = base, .fd = -1, .done = done, .context = context };
	client_response_init(&attempt->response, NULL, NULL);
	if (wake_attempt_write_request(attempt, body, err) < 0 || wake_attempt_connect(attempt, path, err) < 0 ||
	    timer_init(&attempt->deadline, base, wake_attempt_on_deadline, attempt, err) < 0)
		goto fail;
	if (wake_attempt_await(attempt, EV_WRITE, wake_attempt_on_writable) < 0) {
		err_set(err, ENOMEM, "manager");
		goto fail;
	}
	timer_start(&attempt->deadline, WAKE_TELL_MS);
	return attempt;

fail:
	wake_attempt_stop(attempt);
	return NULL;
}

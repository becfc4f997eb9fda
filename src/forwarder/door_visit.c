/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HAProxy sends the header as soon as it is connected, so that it is mostly there when a worker accepts; then nothing is watched for
 * it. The header is read and not a byte more: the rest is the guest's, and moves as that of any other client.
 */
#include "forwarder/door_visit.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "door/door_request.h"
#include "forwarder/admission.h"
#include "forwarder/arrival.h"
#include "forwarder/core.h"
#include "forwarder/door_entry.h"
#include "forwarder/endpoint.h"
#include "forwarder/fair_share.h"
#include "forwarder/life.h"
#include "forwarder/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEADER_MS = 2000 }; /* for the whole header, from accept on */

struct door_visit {
	TAILQ_ENTRY(door_visit) link; /* of its worker */
	struct poll_source readable;
	bool watched;
	struct wheel_entry timer;
	struct endpoint_share *share; /* with a reference to its endpoint */
	int fd;
	uint64_t accepted_us;
	size_t have, size; /* of the header: bytes that came, bytes in all as far as is known */
	uint8_t header[DOOR_HEADER_MAX];
};

enum visit_state {
	VISIT_WAITS, /* for more of the header */
	VISIT_READY, /* the header is whole */
	VISIT_BROKEN,
};

/* ---- The end ---- */

/* FD is another's by now, or closed. */
static void fwd_door_visit_free(struct door_visit *visit)
{
	struct worker *worker = visit->share->worker;

	fwd_poller_forget(worker->poller, &visit->readable);
	fwd_wheel_cancel(&visit->timer);
	TAILQ_REMOVE(&worker->visits, visit, link);
	fwd_share_hold_at_door(worker->forwarder, -1);
	fwd_endpoint_release(visit->share->endpoint);
	free(visit);
}

static void fwd_door_visit_close(struct door_visit *visit)
{
	close(visit->fd);
	fwd_door_visit_free(visit);
}

static void fwd_door_visit_break(struct door_visit *visit, const char *fault)
{
	fwd_tally_door_break(visit->share->worker->forwarder);
	log_limited(&fwd_admission_lines, LOG_WARNING_LEVEL, "client at the door is not understood",
		    F_STR("error", fault), F_UINT("bytes", visit->have));
	fwd_door_visit_close(visit);
}

void fwd_door_visit_expired(struct wheel_entry *entry)
{
	fwd_door_visit_break(container_of(entry, struct door_visit, timer), "it sent no whole header in time");
}

void fwd_door_visit_drop(struct worker *worker)
{
	while (!TAILQ_EMPTY(&worker->visits))
		fwd_door_visit_close(TAILQ_FIRST(&worker->visits));
}

/* ---- The header ---- */

static enum visit_state fwd_door_visit_read(struct door_visit *visit, const char **fault)
{
	while (visit->have < visit->size) {
		ssize_t size = recv(visit->fd, visit->header + visit->have, visit->size - visit->have, MSG_DONTWAIT);

		if (size < 0 && errno == EAGAIN)
			return VISIT_WAITS;
		if (size <= 0) {
			*fault = "it left before its header was whole";
			return VISIT_BROKEN;
		}
		visit->have += (size_t)size;
		if (visit->have == DOOR_HEAD_SIZE)
			visit->size = door_request_size(visit->header, fault);
		if (!visit->size)
			return VISIT_BROKEN;
	}
	return VISIT_READY;
}

/* Its header is whole. True: ARRIVAL is for this worker. */
static bool fwd_door_visit_enter(struct door_visit *visit, struct arrival *arrival)
{
	struct door_request request;
	const char *fault;
	bool here;

	if (door_request_read(visit->header, visit->size, &request, &fault) < 0) {
		fwd_door_visit_break(visit, fault);
		return false;
	}
	if (visit->watched)
		fwd_poller_remove(visit->share->worker->poller, visit->fd);
	here = fwd_door_enter(visit->share, &request, visit->fd, visit->accepted_us, arrival);
	fwd_door_visit_free(visit);
	return here;
}

/* ---- Later ---- */

static void fwd_door_visit_on_readable(struct poll_source *source, uint32_t events)
{
	struct door_visit *visit = container_of(source, struct door_visit, readable);
	struct worker *worker = visit->share->worker;
	const char *fault = NULL;
	struct arrival arrival;
	bool here;

	(void)events;
	switch (fwd_door_visit_read(visit, &fault)) {
	case VISIT_WAITS:
		return;
	case VISIT_BROKEN:
		fwd_door_visit_break(visit, fault);
		return;
	case VISIT_READY:
		break;
	}
	/* At the end of all the other workers may have ended before: it stays a visit, and the worker's own end drops it. */
	pthread_mutex_lock(&worker->accepting);
	here = !atomic_load(&worker->forwarder->stopping) && fwd_door_visit_enter(visit, &arrival);
	pthread_mutex_unlock(&worker->accepting);
	if (here)
		fwd_life_begin(worker, &arrival);
}

/* The oldest goes: who means it says in a moment whom he wants. */
static void fwd_door_visit_make_room(const struct door_visit *visit)
{
	struct worker *worker = visit->share->worker;
	struct door_visit *oldest = TAILQ_FIRST(&worker->visits);

	if (oldest != visit && !fwd_share_allows_at_door(worker->forwarder))
		fwd_door_visit_break(oldest, "it sent no whole header, and descriptors are scarce");
}

static void fwd_door_visit_wait(struct door_visit *visit)
{
	struct worker *worker = visit->share->worker;

	visit->readable.happened = fwd_door_visit_on_readable;
	if (fwd_poller_add_readable(worker->poller, visit->fd, &visit->readable) < 0) {
		fwd_door_visit_break(visit, "there is no memory to wait for its header");
		return;
	}
	visit->watched = true;
	fwd_wheel_set(&worker->visits_wheel, &visit->timer, worker->now_ms + HEADER_MS);
	fwd_door_visit_make_room(visit);
}

/* ---- The beginning ---- */

/* NULL for lack of memory. */
static struct door_visit *fwd_door_visit_new(struct endpoint_share *share, int fd)
{
	struct door_visit *visit = malloc(sizeof(*visit));

	if (!visit)
		return NULL;
	*visit = (struct door_visit){ .share = share, .fd = fd, .accepted_us = clock_now_us(), .size = DOOR_HEAD_SIZE };
	fwd_endpoint_reference(share->endpoint);
	fwd_share_hold_at_door(share->worker->forwarder, 1);
	TAILQ_INSERT_TAIL(&share->worker->visits, visit, link);
	return visit;
}

bool fwd_door_visit_begin(struct endpoint_share *share, int fd, struct arrival *arrival)
{
	struct door_visit *visit = fwd_door_visit_new(share, fd);
	const char *fault = NULL;

	if (!visit) {
		fwd_tally_door_break(share->worker->forwarder);
		close(fd);
		return false;
	}
	switch (fwd_door_visit_read(visit, &fault)) {
	case VISIT_WAITS:
		fwd_door_visit_wait(visit);
		return false;
	case VISIT_BROKEN:
		fwd_door_visit_break(visit, fault);
		return false;
	case VISIT_READY:
		break;
	}
	return fwd_door_visit_enter(visit, arrival);
}

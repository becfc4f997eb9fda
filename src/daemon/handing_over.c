/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each orderly stop hands over, as the service manager does not tell a restart from a stop. Where nobody comes, it drops its
 * store, and each socket sends a reset (forwarder/handover.h).
 *
 * The connections stand still, and are packed into one queue, whose receiving end the manager gets. A barrier says that it has read
 * that message. Then our own copy of that end is closed: if it was the last one, the manager has no store, or a full one, and
 * the connections go on here until stop_drain is over. Up to then all of it can be undone, because every descriptor is here still.
 */
#include "daemon/handing_over.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "config/config.h"
#include "daemon/daemon.h"
#include "daemon/fd_parcel.h"
#include "daemon/fd_store.h"
#include "forwarder/forwarder.h"
#include "forwarder/handover.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/random.h>

/* Of the service manager. With stop_drain after it, this fits into the TimeoutStopSec= of the unit. */
enum { HANDING_OVER_PATIENCE_S = 10 };

static const char store_name[] = "weft-connections";

struct handing_over {
	struct daemon *daemon;
	struct fd_queue queue;
	int barrier;          /* -1: not sent yet */
	struct event *passed; /* the barrier */
	size_t connections;
	uint64_t bytes;
	uint64_t since_us;
	bool freezing; /* up to the moment at which the manager is sent something, or that is given up */
	bool hurried;  /* a second signal came meanwhile */
	bool over;
	void (*done)(struct daemon *daemon, bool ok);
};

static void daemon_handing_over_close(struct handing_over *handing)
{
	if (handing->passed)
		event_free(steal_ptr(&handing->passed));
	cleanup_fd(&handing->barrier);
	cleanup_fd(&handing->queue.in);
	cleanup_fd(&handing->queue.out);
}

static void daemon_handing_over_complain(const struct err *err)
{
	log_error("connections not handed over; they end with stop_drain", F_STR("error", err->text));
}

static void daemon_handing_over_fail(struct handing_over *handing, const struct err *err)
{
	daemon_handing_over_complain(err);
	/* The manager may have it yet, and the next run must not find what goes on here. */
	if (handing->queue.out >= 0)
		daemon_fd_message_drain(handing->queue.out);
	daemon_handing_over_close(handing);
	fwd_freeze_undo(handing->daemon->forwarder);
	handing->done(handing->daemon, handing->hurried);
}

static void daemon_handing_over_succeed(struct handing_over *handing)
{
	if (handing->connections)
		log_info("connections handed over", F_UINT("count", handing->connections),
			 F_UINT("bytes", handing->bytes), F_UINT("in_us", clock_now_us() - handing->since_us));
	daemon_handing_over_close(handing);
	handing->over = true;
	fwd_freeze_leave(handing->daemon->forwarder);
	handing->done(handing->daemon, true);
}

/* The manager has read what it was sent, or takes too long. */
static void daemon_handing_over_on_passed(evutil_socket_t fd, short what, void *arg)
{
	struct handing_over *handing = arg;
	struct err err;

	(void)fd;
	if (what & EV_TIMEOUT) {
		err_set(&err, ETIMEDOUT, "the service manager");
		daemon_handing_over_fail(handing, &err);
		return;
	}
	cleanup_fd(&handing->queue.out);
	if (daemon_fd_message_is_abandoned(handing->queue.in)) {
		err_set(&err, 0, "the service manager keeps no descriptor (FileDescriptorStoreMax= of the unit)");
		daemon_handing_over_fail(handing, &err);
		return;
	}
	daemon_handing_over_succeed(handing);
}

static int daemon_handing_over_await(struct handing_over *handing)
{
	const struct timeval patience = { .tv_sec = HANDING_OVER_PATIENCE_S };

	handing->barrier = daemon_fd_store_barrier();
	if (handing->barrier < 0)
		return -1;
	handing->passed =
	    event_new(handing->daemon->base, handing->barrier, EV_READ, daemon_handing_over_on_passed, handing);
	if (handing->passed && event_add(handing->passed, &patience) == 0)
		return 0;
	errno = ENOMEM;
	return -1;
}

/* 0, or -1 with ERR. */
static int daemon_handing_over_send(struct handing_over *handing, const struct fwd_handover *handover, struct err *err)
{
	const struct fd_parcel parcel = { .connections = handover->connections,
					  .memory = (uint8_t *)handover->record,
					  .size = handover->record_size,
					  .fds = (int *)handover->fds,
					  .count = handover->fd_count,
					  .burden = handover->burden,
					  .burden_count = handover->burden_count };
	uint64_t run;

	if (getrandom(&run, sizeof(run), 0) != sizeof(run))
		return err_set(err, errno, "random number");
	if (daemon_fd_parcel_pack(&parcel, run, &handing->queue, err) < 0)
		return -1;
	if (daemon_fd_store_put(store_name, &handing->queue.out, 1) < 0 || daemon_handing_over_await(handing) < 0)
		return err_set(err, errno, "the service manager");
	return 0;
}

static void daemon_handing_over_on_frozen(void *context, const struct fwd_handover *handover, const struct err *err)
{
	struct handing_over *handing = context;
	struct err why;

	handing->freezing = false;
	if (!handover) {
		daemon_handing_over_complain(err);
		handing->done(handing->daemon, handing->hurried);
		return;
	}
	handing->connections = handover->connections;
	handing->bytes = handover->bytes;
	if (!handing->connections)
		daemon_handing_over_succeed(handing);
	else if (daemon_handing_over_send(handing, handover, &why) < 0)
		daemon_handing_over_fail(handing, &why);
	else if (handing->hurried)
		handing->done(handing->daemon, true);
}

/*
 * A second signal does not wait for the manager. As it may have what it was sent, or get it yet, nothing of that moves here again:
 * the connections go on in the next run, or are reset where the manager drops them.
 */
static void daemon_handing_over_leave(struct handing_over *handing)
{
	if (handing->barrier < 0 || handing->over)
		return;
	log_warning("connections handed over; the service manager was given no time to confirm it",
		    F_UINT("count", handing->connections));
	handing->over = true;
	fwd_freeze_leave(handing->daemon->forwarder);
}

void daemon_handing_over_free(struct daemon *daemon)
{
	if (!daemon->handing_over)
		return;
	daemon_handing_over_leave(daemon->handing_over);
	daemon_handing_over_close(daemon->handing_over);
	free(steal_ptr(&daemon->handing_over));
}

bool daemon_handing_over_is_possible(const struct daemon *daemon)
{
	return daemon->config->forwarder.handover && daemon->forwarder && daemon_fd_store_is_there();
}

bool daemon_handing_over_is_done(const struct daemon *daemon)
{
	return daemon->handing_over && daemon->handing_over->over;
}

bool daemon_handing_over_hurry(struct daemon *daemon)
{
	if (!daemon->handing_over || !daemon->handing_over->freezing || daemon->handing_over->hurried)
		return false;
	daemon->handing_over->hurried = true;
	return true;
}

bool daemon_handing_over_begin(struct daemon *daemon, void (*done)(struct daemon *daemon, bool ok))
{
	struct handing_over *handing;
	struct err err;

	if (!daemon_handing_over_is_possible(daemon))
		return false;
	handing = calloc(1, sizeof(*handing));
	if (!handing) {
		err_set(&err, ENOMEM, "handover");
		daemon_handing_over_complain(&err);
		return false;
	}
	*handing = (struct handing_over){
		.daemon = daemon, .queue = { -1, -1 }, .barrier = -1, .since_us = clock_now_us(), .done = done
	};
	daemon->handing_over = handing;
	if (fwd_freeze(daemon->forwarder, daemon_handing_over_on_frozen, handing, &err) == 0) {
		handing->freezing = true;
		return true;
	}
	daemon_handing_over_complain(&err);
	daemon_handing_over_free(daemon);
	return false;
}

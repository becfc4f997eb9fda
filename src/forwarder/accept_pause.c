/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any thread begins a pause (admission.c), and a message brings it here. Main takes the listening sockets out of the
 * workers' sets, so that they do not spin. It then makes some descriptors and closes them again from time to time, and resumes
 * when there are enough.
 */
#include "forwarder/accept_pause.h"

#include "base/container_of.h"
#include "forwarder/core.h"
#include "forwarder/listener.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum {
	LOOK_MS = 100,               /* between looks in a pause */
	ROOM = 8 * SHARE_CONNECTION, /* descriptors that must be free before accepting resumes */
	PAUSE_LINES = 1,
	MINUTE_MS = 60 * 1000,
};

static void fwd_accept_pause_on_message(struct mail *mail)
{
	static const struct log_limit limit = { .burst = PAUSE_LINES, .interval_ms = MINUTE_MS };
	struct forwarder *forwarder = container_of(mail, struct forwarder, admission.pause);
	int error = atomic_load(&forwarder->admission.pause_error);

	if (forwarder->stopping || forwarder->accept_pause.for_ever)
		return;
	forwarder->accept_pause.count++;
	fwd_listeners_pause(forwarder);
	timer_start(&forwarder->accept_pause.look, LOOK_MS);
	log_limited(&limit, LOG_WARNING_LEVEL, "accepting paused: no descriptors left", F_STR("cause", strerror(error)),
		    F_UINT("limit", forwarder->fair_share.limit));
}

/* Tried, because the kernel may lack them too (ENFILE, ENOMEM). */
static bool fwd_accept_pause_may_end(const struct forwarder *forwarder)
{
	int fds[ROOM];
	int room = fwd_share_room(forwarder, ROOM), count = 0;

	if (!fwd_share_has_room(forwarder, room))
		return false;
	while (count < room && (fds[count] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		count++;
	for (int i = 0; i < count; i++)
		close(fds[i]);
	return count == room;
}

static void fwd_accept_pause_look(void *context)
{
	struct forwarder *forwarder = context;

	fwd_share_read_limit(forwarder);
	if (!fwd_accept_pause_may_end(forwarder)) {
		timer_start(&forwarder->accept_pause.look, LOOK_MS);
		return;
	}
	atomic_store(&forwarder->admission.paused, false);
	fwd_listeners_resume(forwarder);
}

int fwd_accept_pause_init(struct forwarder *forwarder, struct err *err)
{
	forwarder->admission.pause.deliver = fwd_accept_pause_on_message;
	return timer_init(&forwarder->accept_pause.look, forwarder->base, fwd_accept_pause_look, forwarder, err);
}

void fwd_accept_pause_free(struct forwarder *forwarder)
{
	timer_free(&forwarder->accept_pause.look);
}

void fwd_accept_pause_for_ever(struct forwarder *forwarder)
{
	forwarder->accept_pause.for_ever = true;
	atomic_store(&forwarder->admission.paused, true);
	fwd_listeners_pause(forwarder);
	timer_stop(&forwarder->accept_pause.look);
}

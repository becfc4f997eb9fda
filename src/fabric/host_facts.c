/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The builder reads the facts each second, and at once after an event of the uplink or of a default route. A second costs one link and
 * one file. The default route is searched only after an event, because that takes a dump of all routes; as a link that goes down takes
 * its routes along without a message, an event of the uplink counts too.
 *
 * The builder sets the MTU of new links itself, so that a slot whose making was asked for after a change never gets the former one.
 * Live slots keep the MTU that their guests were told. Ready slots of the pool with another one go.
 *
 * Forwarding that somebody turned off is turned on again where the configuration says so, but not for ever: two programs that disagree
 * would do nothing else.
 */
#include "fabric/host_facts.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "base/log.h"
#include "fabric/slot/host.h"
#include "fabric/state.h"
#include "fabric/trouble.h"
#include "kernel/event_filter.h"
#include "kernel/kern_route.h"
#include "kernel/link.h"

#include <errno.h>
#include <event2/event.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	WHOLE_EVERY_MS = 60 * 1000, /* should an event have been lost unnoticed */
	PUT_BACK_PAUSE_MS = 10 * 1000,
	PUT_BACK_WINDOW_MS = 60 * 1000,
	PUT_BACK_MAX = 2, /* in one window; the next time it is left off */
};

/* One reading, by the builder. */
struct host_look {
	struct job job;
	struct host_facts *facts;
	bool whole;       /* in: which link is the uplink is asked too */
	bool may_forward; /* in: forwarding is turned on if it is off */
	int uplink;       /* in and out: its number; 0: none */
	unsigned mtu;     /* out */
	bool forwarding, put_back;
	struct err refused; /* !FORWARDING && MAY_FORWARD: why */
};

struct host_facts {
	struct fabric *fabric;
	int fd;
	struct event *event;
	bool busy;                          /* a look is under way */
	bool changed;                       /* an event came after it was posted */
	int uplink;                         /* as the filter has it */
	unsigned mtu;                       /* as it was told last */
	uint64_t whole_ms;                  /* clock_now_ms(), of the last whole look */
	uint64_t put_back_ms[PUT_BACK_MAX]; /* when forwarding was, the latest first; 0: never */
	uint64_t tried_ms;                  /* when it was tried last */
	bool off_told;                      /* that forwarding is off */
	bool left_off;                      /* somebody turns it off again and again */
};

/* ---- looking ---- */

/* Without a link of the uplink's name, or of the default route, new links get what they got before. */
static int fabric_host_look_at_uplink(struct host_look *look, struct err *err)
{
	struct fabric *fabric = look->facts->fabric;
	struct kern_rtnl *host = fabric_job_host(&look->job);
	struct kern_link link;
	unsigned mtu = 0;

	if (look->whole)
		return slot_build_host_mtu(host, fabric->config, &look->uplink, &look->mtu, err);
	if (fabric->config->layout.mtu || !look->uplink)
		return 0;
	if (kern_link_get_index(host, look->uplink, &link, err) == 0)
		mtu = link.mtu;
	else if (err->code != ENODEV)
		return -1;
	if (mtu)
		look->mtu = mtu;
	return 0;
}

static int fabric_host_run_look(struct job *job)
{
	struct host_look *look = container_of(job, struct host_look, job);

	if (fabric_host_look_at_uplink(look, &job->err) < 0 ||
	    slot_build_host_look_forwarding(&look->forwarding, &job->err) < 0)
		return -1;
	atomic_store(&look->facts->fabric->mtu, look->mtu);
	if (look->forwarding || !look->may_forward)
		return 0;
	look->put_back = look->forwarding = slot_build_host_forward(&look->refused) == 0;
	return 0;
}

/* ---- the MTU ---- */

/* The pool makes others. */
static void fabric_host_drop_ready(struct fabric *fabric, unsigned mtu)
{
	for (unsigned number = 1; number <= CONFIG_SLOT_MAX; number++) {
		struct slot *slot = fabric->slots[number];

		if (slot && slot->phase == SLOT_READY && slot->mtu != mtu)
			slot_become(slot, SLOT_LEAVING, "its MTU is not the uplink's any more");
	}
}

static unsigned fabric_host_count_others(const struct fabric *fabric, unsigned mtu)
{
	unsigned count = 0;

	for (unsigned number = 1; number <= CONFIG_SLOT_MAX; number++) {
		const struct slot *slot = fabric->slots[number];

		count += slot && fabric_slot_is_live(slot) && slot->mtu != mtu;
	}
	return count;
}

static void fabric_host_take_mtu(struct host_facts *facts, unsigned mtu)
{
	struct fabric *fabric = facts->fabric;
	char detail[160];

	if (mtu == facts->mtu)
		return;
	snprintf(detail, sizeof(detail),
		 "MTU %u instead of %u: new sandboxes get it; %u keep what their guests were told", mtu, facts->mtu,
		 fabric_host_count_others(fabric, mtu));
	facts->mtu = mtu;
	fabric->watcher.host(fabric->watcher.context, "uplink", true, detail);
	fabric_host_drop_ready(fabric, mtu);
}

/* ---- forwarding ---- */

static bool fabric_host_enables(const struct host_facts *facts)
{
	return facts->fabric->config->host.ip_forward == HOST_FORWARD_ENABLE;
}

static bool fabric_host_fights(const struct host_facts *facts, uint64_t now)
{
	uint64_t oldest = facts->put_back_ms[PUT_BACK_MAX - 1];

	return oldest && now - oldest < PUT_BACK_WINDOW_MS;
}

static bool fabric_host_may_forward(struct host_facts *facts, uint64_t now)
{
	return fabric_host_enables(facts) && !facts->left_off && !fabric_host_fights(facts, now) &&
	       (!facts->tried_ms || now - facts->tried_ms >= PUT_BACK_PAUSE_MS);
}

static void fabric_host_tell_off(struct host_facts *facts, const char *detail)
{
	const struct fabric_watcher *watcher = &facts->fabric->watcher;

	if (!facts->off_told)
		watcher->host(watcher->context, "ip_forward", false, detail);
	facts->off_told = true;
}

static void fabric_host_is_on(struct host_facts *facts)
{
	const struct fabric_watcher *watcher = &facts->fabric->watcher;

	if (facts->off_told)
		watcher->host(watcher->context, "ip_forward", true, "net.ipv4.ip_forward is on again");
	if (facts->left_off)
		facts->put_back_ms[PUT_BACK_MAX - 1] = 0;
	facts->off_told = facts->left_off = false;
}

static void fabric_host_put_back(struct host_facts *facts, uint64_t now)
{
	for (size_t i = PUT_BACK_MAX - 1; i; i--)
		facts->put_back_ms[i] = facts->put_back_ms[i - 1];
	facts->put_back_ms[0] = now;
	fabric_report_repair(facts->fabric, 0, "net.ipv4.ip_forward");
}

static void fabric_host_take_forwarding(struct host_facts *facts, const struct host_look *look)
{
	uint64_t now = clock_now_ms();
	char detail[sizeof(look->refused.text) + 64];

	if (look->may_forward && (look->put_back || !look->forwarding))
		facts->tried_ms = now;
	if (look->put_back)
		fabric_host_put_back(facts, now);
	if (look->forwarding) {
		fabric_host_is_on(facts);
	} else if (!fabric_host_enables(facts)) {
		fabric_host_tell_off(facts, "net.ipv4.ip_forward is 0, and [host] ip_forward = require: no packet of a "
					    "sandbox gets beyond this host");
	} else if (look->may_forward) {
		snprintf(detail, sizeof(detail), "net.ipv4.ip_forward is 0 and cannot be set: %s", look->refused.text);
		fabric_host_tell_off(facts, detail);
	} else if (fabric_host_fights(facts, now) && !facts->left_off) {
		facts->left_off = true;
		fabric_host_tell_off(facts, "net.ipv4.ip_forward is 0 for the third time in a minute: another program "
					    "turns it off, and weftd leaves it so");
	}
}

/* ---- when ---- */

static void fabric_host_post_look(struct host_facts *facts, bool whole);

/* Without the filter there are more looks, and that is all. */
static void fabric_host_follow_uplink(struct host_facts *facts, int uplink)
{
	if (facts->uplink != uplink && kern_event_filter_uplink(facts->fd, uplink) == 0)
		facts->uplink = uplink;
}

static void fabric_host_finish_look(struct job *job)
{
	struct host_look *look = container_of(job, struct host_look, job);
	struct host_facts *facts = look->facts;

	facts->busy = false;
	if (!job->failed) {
		if (look->whole)
			facts->whole_ms = clock_now_ms();
		fabric_host_follow_uplink(facts, look->uplink);
		fabric_host_take_mtu(facts, look->mtu);
		fabric_host_take_forwarding(facts, look);
	} else if (job->err.code != ECANCELED) {
		log_seldom(LOG_WARNING_LEVEL, "uplink and forwarding not looked at; trying again",
			   F_STR("error", job->err.text));
	}
	free(look);
	if (facts->changed && !facts->fabric->stopping)
		fabric_host_post_look(facts, true);
}

static void fabric_host_post_look(struct host_facts *facts, bool whole)
{
	struct host_look *look;

	if (facts->busy) {
		facts->changed |= whole;
		return;
	}
	look = calloc(1, sizeof(*look));
	if (!look)
		return; /* the next second comes */
	look->job.run = fabric_host_run_look;
	look->job.finish = fabric_host_finish_look;
	look->facts = facts;
	look->whole = whole;
	look->may_forward = fabric_host_may_forward(facts, clock_now_ms());
	look->uplink = facts->uplink;
	look->mtu = facts->mtu;
	facts->busy = true;
	facts->changed = false;
	fabric_job_thread_post(facts->fabric->builder, &look->job, JOB_LOOK);
}

void fabric_host_facts_tick(struct host_facts *facts)
{
	bool missing = !facts->uplink && facts->fabric->config->addresses.uplink;
	bool whole = missing || clock_now_ms() - facts->whole_ms >= WHOLE_EVERY_MS;

	if (!facts->fabric->stopping)
		fabric_host_post_look(facts, whole);
}

/* What the messages say does not matter. */
static void fabric_host_on_event(evutil_socket_t fd, short what, void *arg)
{
	char buffer[16384];

	(void)what;
	while (recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) >= 0 || errno == ENOBUFS)
		;
	fabric_host_post_look(arg, true);
}

static int fabric_host_listen(struct host_facts *facts, struct err *err)
{
	static const int groups[] = { RTNLGRP_LINK, RTNLGRP_IPV4_ROUTE };
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };

	facts->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (facts->fd < 0 || bind(facts->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return err_set(err, errno, "monitor of the uplink");
	kern_event_filter_uplink(facts->fd, 0);
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		if (setsockopt(facts->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i], sizeof(groups[i])) < 0)
			return err_set(err, errno, "monitor of the uplink: group %d", groups[i]);
	}
	facts->event = event_new(facts->fabric->base, facts->fd, EV_READ | EV_PERSIST, fabric_host_on_event, facts);
	if (!facts->event || event_add(facts->event, NULL) < 0)
		return err_set(err, ENOMEM, "monitor of the uplink");
	return 0;
}

struct host_facts *fabric_host_facts_new(struct fabric *fabric, struct err *err)
{
	struct host_facts *facts = calloc(1, sizeof(*facts));

	if (!facts) {
		err_set(err, ENOMEM, "monitor of the uplink");
		return NULL;
	}
	facts->fabric = fabric;
	facts->mtu = atomic_load(&fabric->mtu);
	facts->fd = -1;
	if (fabric_host_listen(facts, err) < 0) {
		fabric_host_facts_free(facts);
		return NULL;
	}
	/* The uplink may have changed since the start read it, and its number is not known yet. */
	fabric_host_post_look(facts, true);
	return facts;
}

void fabric_host_facts_free(struct host_facts *facts)
{
	if (!facts)
		return;
	if (facts->event)
		event_free(facts->event);
	if (facts->fd >= 0)
		close(facts->fd);
	free(facts);
}

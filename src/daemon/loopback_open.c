/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Programs and maps of a killed daemon are taken over (kernel/bpf.h), but its entries are deleted at the start: it would have to be proved
 * that each still leads to the same guest, and new clients can wait at the listeners meanwhile. From these entries the start learns which
 * ports had answered, and how many connections the killed daemon had not counted yet.
 */
#include "daemon/loopback_state.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/loopback.h"
#include "daemon/tenant.h"
#include "health/facts.h"
#include "wire/write.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	LEASE_MS = 30000,
	TICK_MS = 10000, /* the lease is renewed */
	AGAIN_MS = 1000, /* until a failure is tried again */
};

static const char *daemon_loopback_mode(const struct config *config)
{
	switch (config->forwarder.loopback) {
	case LOOPBACK_FORWARDER:
		return "forwarder";
	case LOOPBACK_KERNEL:
		return "kernel";
	case LOOPBACK_AUTO:
		return "auto";
	}
	return "unknown";
}

static bool daemon_loopback_is_off(const struct daemon *daemon)
{
	return daemon->config->forwarder.loopback == LOOPBACK_FORWARDER;
}

static void daemon_loopback_renew(struct loopback *loopback)
{
	struct err err;

	if (kern_loopback_renew(loopback->kern, (clock_now_us() + LEASE_MS * UINT64_C(1000)) * 1000, &err) < 0)
		daemon_loopback_complain(loopback, "the lease of entries for loopback clients was not renewed", &err);
}

/* Entries of a run that was killed. */
struct loopback_former {
	struct loopback *loopback;
	bool failed;
	struct err err;
};

static void daemon_loopback_remove_former(void *context, const struct kern_loopback_entry *entry)
{
	struct loopback_former *former = context;
	struct loopback *loopback = former->loopback;
	struct tenant *tenant = daemon_loopback_owner(loopback->daemon, entry->host_ip);
	uint64_t hits;

	if (kern_loopback_take(loopback->kern, &entry->listen, entry->proto, &hits, &former->err) < 0) {
		former->failed = true;
		hits = entry->hits;
	}
	if (!tenant)
		return;
	daemon_loopback_learn(tenant, entry->guest_port, entry->proto);
	if (entry->proto == PROTO_TCP)
		tenant->entered.former += hits;
}

/* Adds the connections by a killed daemon's entries to the totals, but those that its files had counted already. */
static void daemon_loopback_count_former(struct loopback *loopback)
{
	struct sandbox *sandbox;

	for (unsigned slot = 0; (sandbox = registry_next(loopback->daemon->registry, slot)); slot = sandbox->slot) {
		struct tenant *tenant = daemon_tenant_of(sandbox);

		if (!tenant)
			continue;
		if (tenant->entered.former > tenant->base.connections_entered)
			tenant->entered.gone += tenant->entered.former - tenant->base.connections_entered;
		tenant->base.connections_entered = tenant->entered.former = 0;
	}
}

/* Deletes the entries of a killed daemon. 0, or -1 with ERR if some are left. */
static int daemon_loopback_clean(struct loopback *loopback, struct err *err)
{
	struct loopback_former former = { .loopback = loopback };

	if (kern_loopback_each(loopback->kern, daemon_loopback_remove_former, &former, err) < 0)
		return -1;
	daemon_loopback_count_former(loopback);
	if (former.failed)
		*err = former.err;
	return former.failed ? -1 : 0;
}

/* Shortages, and what may be mounted or made yet: looking for it costs next to nothing. */
static bool daemon_loopback_may_pass(const struct err *err)
{
	return err_code_is_exhaustion(err->code) || err->code == EAGAIN || err->code == EBUSY || err->code == ENOENT;
}

/* Logs why there is no table, once for each reason. */
static void daemon_loopback_tell(struct loopback *loopback, const struct err *err)
{
	bool wished = loopback->daemon->config->forwarder.loopback == LOOPBACK_KERNEL;

	if (strcmp(loopback->error, err->text) != 0)
		log_at(wished ? LOG_WARNING_LEVEL : LOG_INFO_LEVEL,
		       "clients of loopback endpoints go through the forwarder", F_STR("why", err->text));
	snprintf(loopback->error, sizeof(loopback->error), "%s", err->text);
	if (daemon_loopback_may_pass(err))
		timer_start(&loopback->timer, TICK_MS);
}

static int daemon_loopback_find_cgroup(struct loopback *loopback, struct err *err)
{
	const char *set = loopback->daemon->config->forwarder.cgroup;

	if (set)
		snprintf(loopback->cgroup, sizeof(loopback->cgroup), "%s", set);
	else if (!kern_loopback_find_cgroup(loopback->cgroup))
		return err_set(err, ENOENT, "this host has no cgroup2");
	return 0;
}

/* 0, or -1 with ERR, when nothing is left of a killed daemon either. */
static int daemon_loopback_try_open(struct loopback *loopback, struct err *err)
{
	const char *why = NULL;

	if (daemon_loopback_find_cgroup(loopback, err) < 0)
		return -1;
	loopback->kern = kern_loopback_open(loopback->cgroup, loopback->pins, err);
	if (!loopback->kern)
		return -1;
	loopback->was_open = true;
	if (!loopback->since_us)
		loopback->since_us = clock_now_us();
	loopback->error[0] = '\0';
	loopback->entries = 0;
	loopback->broken = loopback->troubled = false;
	if (daemon_loopback_clean(loopback, err) < 0) {
		kern_loopback_close(loopback->kern, false);
		loopback->kern = NULL;
		return -1;
	}
	timer_start(&loopback->timer, TICK_MS);
	daemon_loopback_renew(loopback);
	log_info("the kernel leads clients of loopback endpoints",
		 F_STR("loopback", daemon_loopback_mode(loopback->daemon->config)), F_STR("cgroup", loopback->cgroup),
		 F_STR("no_ipv6", kern_loopback_has_ipv6(loopback->kern, &why) ? NULL : why));
	return 0;
}

/* A killed daemon's pins are removed although the table is off. */
static void daemon_loopback_remove_pins(struct loopback *loopback)
{
	bool found;
	struct err err;

	if (kern_loopback_remove(loopback->pins, &found, &err) < 0)
		log_warning("entries of a former run for loopback clients are left", F_STR("error", err.text),
			    F_STR("fix", "weftd --cleanup, once weftd is stopped"));
}

/* Also by a reload, or as another attempt. */
static void daemon_loopback_open_now(struct loopback *loopback)
{
	struct err err;

	loopback->opened = true;
	if (daemon_loopback_is_off(loopback->daemon))
		daemon_loopback_remove_pins(loopback);
	else if (daemon_loopback_try_open(loopback, &err) < 0)
		daemon_loopback_tell(loopback, &err);
	daemon_loopback_follow_all(loopback);
}

void daemon_loopback_open(struct daemon *daemon, bool late)
{
	struct loopback *loopback = daemon->loopback;

	/* Loading the programs takes some 30 ms, which clients in the listeners' queues are spared, unless entries of a killed daemon count. */
	if (!loopback->opened && (late || access(loopback->pins, F_OK) == 0))
		daemon_loopback_open_now(loopback);
}

/* Notes that ENDPOINT's entries go with the table, after their last hits were read. */
static void daemon_loopback_forget_entries(struct loopback *loopback, struct tenant *tenant, struct endpoint *endpoint)
{
	for (size_t i = 0; i < endpoint->listen_count; i++) {
		if (endpoint->entered[i])
			daemon_loopback_count(tenant, endpoint, endpoint->hits[i]);
		endpoint->entered[i] = false;
		endpoint->hits[i] = 0;
	}
	endpoint->path_reason = loopback->daemon->state == DAEMON_STOPPING ? PATH_STOPPING : PATH_OFF;
}

void daemon_loopback_close(struct daemon *daemon)
{
	struct loopback *loopback = daemon->loopback;
	struct sandbox *sandbox;
	struct err ignored;

	if (!loopback || !loopback->kern)
		return;
	kern_loopback_renew(loopback->kern, 0, &ignored);
	daemon_loopback_read_hits(loopback, true);
	for (unsigned slot = 0; (sandbox = registry_next(daemon->registry, slot)); slot = sandbox->slot)
		for (size_t i = 0; daemon_tenant_of(sandbox) && i < sandbox->endpoint_count; i++)
			daemon_loopback_forget_entries(loopback, daemon_tenant_of(sandbox), &sandbox->endpoints[i]);
	if (loopback->default_tenant)
		daemon_loopback_forget_entries(loopback, loopback->default_tenant, &loopback->default_endpoint);
	kern_loopback_close(loopback->kern, false);
	loopback->kern = NULL;
	loopback->entries = loopback->since_us = 0;
	loopback->broken = loopback->troubled = false;
	loopback->error[0] = '\0';
	timer_stop(&loopback->timer);
}

void daemon_loopback_reload(struct daemon *daemon)
{
	struct loopback *loopback = daemon->loopback;

	if (!loopback->opened || daemon->state == DAEMON_STOPPING)
		return;
	if (daemon_loopback_is_off(daemon))
		daemon_loopback_close(daemon);
	if (!loopback->kern)
		loopback->error[0] = '\0';
	if (!loopback->kern)
		daemon_loopback_open_now(loopback);
	else
		daemon_loopback_follow_all(loopback);
}

/*
 * Another program may have detached ours, or removed their cgroup. Then this closes the table, and the caller opens it again, with the same
 * maps, so that sockets which were led still see the address that they asked for. The entries are deleted before, because the next opening
 * would count their connections a second time.
 */
static void daemon_loopback_mend(struct loopback *loopback)
{
	struct err err;

	if (kern_loopback_check(loopback->kern, &err) == 0)
		return;
	log_seldom(LOG_WARNING_LEVEL,
		   "the kernel did not lead clients of loopback endpoints; attaching the programs again",
		   F_STR("error", err.text));
	daemon_loopback_cut_all(loopback);
	if (loopback->broken) {
		daemon_loopback_close(loopback->daemon);
		return;
	}
	kern_loopback_close(loopback->kern, true);
	loopback->kern = NULL;
	loopback->entries = 0;
}

static void daemon_loopback_on_timer(void *context)
{
	struct loopback *loopback = context;
	bool troubled = loopback->troubled;

	if (loopback->daemon->state == DAEMON_STOPPING)
		return;
	if (loopback->broken)
		daemon_loopback_close(loopback->daemon);
	if (loopback->kern)
		daemon_loopback_mend(loopback);
	if (!loopback->kern) {
		daemon_loopback_open_now(loopback);
		return;
	}
	loopback->troubled = false;
	timer_start(&loopback->timer, TICK_MS);
	if (troubled)
		daemon_loopback_follow_all(loopback);
	if (!loopback->broken)
		daemon_loopback_renew(loopback);
	if (!loopback->troubled)
		loopback->error[0] = '\0';
}

/* How many addresses of ENDPOINT are to have an entry. */
static size_t daemon_loopback_count_wanted(const struct endpoint *endpoint, const struct path_facts *facts)
{
	size_t wanted = 0;

	for (size_t i = 0; i < endpoint->listen_count; i++)
		wanted += endpoint->entered[i] ||
			  (endpoint->path_reason == PATH_ENTERED && registry_path_takes(endpoint, i, facts));
	return wanted;
}

static size_t daemon_loopback_wanted(const struct loopback *loopback)
{
	const struct path_facts facts = daemon_loopback_facts(loopback);
	const struct sandbox *sandbox;
	size_t wanted = 0;

	if (!loopback->kern)
		return 0;
	for (unsigned slot = 0; (sandbox = registry_next(loopback->daemon->registry, slot)); slot = sandbox->slot)
		for (size_t i = 0; i < sandbox->endpoint_count; i++)
			wanted += daemon_loopback_count_wanted(&sandbox->endpoints[i], &facts);
	return wanted + daemon_loopback_count_wanted(&loopback->default_endpoint, &facts);
}

json_t *daemon_loopback_describe(const struct daemon *daemon)
{
	const struct loopback *loopback = daemon->loopback;
	const struct endpoint *standard = &loopback->default_endpoint;

	return json_pack("{s:s, s:b, s:s?, s:b, s:I, s:I, s:o, s:s, s:s?}", "mode",
			 daemon_loopback_mode(daemon->config), "open", loopback->kern != NULL, "cgroup",
			 loopback->kern ? loopback->cgroup : NULL, "ipv6",
			 loopback->kern && kern_loopback_has_ipv6(loopback->kern, NULL), "entries",
			 (json_int_t)loopback->entries, "wanted", (json_int_t)daemon_loopback_wanted(loopback), "error",
			 loopback->error[0] ? wire_write_text(loopback->error) : json_null(), "default_path",
			 registry_path_name(standard), "default_path_reason",
			 loopback->default_tenant ? registry_path_reason(standard) : NULL);
}

void daemon_loopback_tell_doctor(const struct daemon *daemon, struct health_loopback *told)
{
	const struct loopback *loopback = daemon->loopback;

	*told = (struct health_loopback){ .open = loopback->kern != NULL,
					  .ipv6 = loopback->kern && kern_loopback_has_ipv6(loopback->kern, NULL),
					  .entries = loopback->entries,
					  .wanted = daemon_loopback_wanted(loopback) };
	snprintf(told->mode, sizeof(told->mode), "%s", daemon_loopback_mode(daemon->config));
	if (told->open)
		snprintf(told->cgroup, sizeof(told->cgroup), "%.255s", loopback->cgroup);
	snprintf(told->error, sizeof(told->error), "%s", loopback->error);
}

int daemon_loopback_start(struct daemon *daemon, struct err *err)
{
	struct loopback *loopback = calloc(1, sizeof(*loopback));

	if (!loopback)
		return err_set(err, ENOMEM, "start");
	daemon->loopback = loopback;
	loopback->daemon = daemon;
	kern_loopback_pins(daemon->config->layout.link_group, loopback->pins);
	return timer_init(&loopback->timer, daemon->base, daemon_loopback_on_timer, loopback, err);
}

void daemon_loopback_stop(struct daemon *daemon)
{
	if (!daemon->loopback)
		return;
	daemon_loopback_close(daemon);
	timer_free(&daemon->loopback->timer);
	free(daemon->loopback);
	daemon->loopback = NULL;
}

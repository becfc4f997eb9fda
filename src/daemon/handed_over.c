/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parcel is taken as late as can be, when hardly anything is left that could fail the start: up to then it is in the store, and the
 * next start has it. Once it is taken no copy of it is left there, because it describes connections that do not stand still
 * any more. The forwarder proves for each sandbox that its connections are what they were (forwarder/handover.h).
 */
#include "daemon/handed_over.h"

#include "base/err.h"
#include "base/log.h"
#include "control/control.h"
#include "daemon/daemon.h"
#include "daemon/fd_parcel.h"
#include "daemon/inherited.h"
#include "daemon/tenant.h"
#include "forwarder/handover.h"

#include <errno.h>
#include <stdlib.h>

struct handed_over {
	uint64_t sent; /* connections that the former run sent */
	bool began;    /* the forwarder has them */
	bool known;    /* the outcome */
	struct handover_outcome outcome;
};

int daemon_handed_over_start(struct daemon *daemon, struct err *err)
{
	daemon->handed_over = calloc(1, sizeof(*daemon->handed_over));
	return daemon->handed_over ? 0 : err_set(err, ENOMEM, "start");
}

void daemon_handed_over_stop(struct daemon *daemon)
{
	free(daemon->handed_over);
	daemon->handed_over = NULL;
}

static void daemon_handed_over_tell(struct daemon *daemon)
{
	const struct handover_outcome *outcome = &daemon->handed_over->outcome;

	log_at(outcome->lost ? LOG_WARNING_LEVEL : LOG_INFO_LEVEL, "connections taken over",
	       F_UINT("count", outcome->connections), F_UINT("lost", outcome->lost), F_UINT("gap_ms", outcome->gap_ms));
	control_event(daemon->control, "handover", NULL, daemon_handed_over_describe(daemon));
}

/* Who sent them knew how many there were; the forwarder has a record alone, which may be damaged. */
static void daemon_handed_over_on_done(void *context, const struct fwd_thaw_result *result)
{
	struct daemon *daemon = context;
	struct handed_over *handed = daemon->handed_over;
	uint64_t missing = handed->sent > result->taken ? handed->sent - result->taken : 0;

	handed->known = true;
	handed->outcome = (struct handover_outcome){ .connections = result->taken,
						     .lost = handed->sent ? missing : result->lost,
						     .gap_ms = result->gap_ms };
	daemon_handed_over_tell(daemon);
	/* All are served now. */
	daemon_inherited_drop_burdens(daemon->inherited);
}

static void daemon_handed_over_admit(struct daemon *daemon, const struct fd_parcel *parcel)
{
	if (parcel->lost)
		log_error("descriptors of connections lost", F_UINT("count", parcel->lost),
			  F_STR("fix", "raise LimitNOFILE= of the unit"));
	daemon->handed_over->began = true;
	fwd_thaw_begin(daemon->forwarder, parcel->memory, parcel->size, parcel->fds, parcel->count,
		       daemon_handed_over_on_done, daemon);
}

/* Asked once for each sandbox that has some. */
static bool daemon_handed_over_is_known(void *context, const char *id)
{
	struct daemon *daemon = context;
	const struct sandbox *sandbox = registry_find(daemon->registry, id);

	if (!sandbox || !sandbox->tenant)
		return false;
	daemon_tenant_of(sandbox)->awaited = true;
	return true;
}

void daemon_handed_over_take(struct daemon *daemon)
{
	struct handed_over *handed = daemon->handed_over;
	struct fd_parcel parcel;
	struct err err;
	int found;

	while ((found = daemon_inherited_take_parcel(daemon->inherited, &parcel, &err)) != 0) {
		handed->sent += parcel.connections;
		if (found > 0 && handed->began)
			found = err_set(&err, 0, "there are others already");
		if (found > 0)
			daemon_handed_over_admit(daemon, &parcel);
		else
			log_error("connections cannot be taken over; they are reset",
				  F_UINT("count", parcel.connections), F_STR("error", err.text));
		daemon_fd_parcel_free(&parcel);
	}
	if (handed->began)
		fwd_thaw_drop_unknown(daemon->forwarder, daemon_handed_over_is_known, daemon);
	else if (handed->sent)
		daemon_handed_over_on_done(daemon, &(struct fwd_thaw_result){ .lost = handed->sent });
}

void daemon_handed_over_follow_default(struct daemon *daemon)
{
	fwd_thaw_default(daemon->forwarder);
}

void daemon_handed_over_follow(struct tenant *tenant)
{
	if (tenant->opened && tenant->route && tenant->netns_fd >= 0)
		fwd_thaw_route(tenant->route);
}

const struct handover_outcome *daemon_handed_over_outcome(const struct daemon *daemon)
{
	return daemon->handed_over->known ? &daemon->handed_over->outcome : NULL;
}

json_t *daemon_handed_over_describe(const struct daemon *daemon)
{
	const struct handover_outcome *outcome = daemon_handed_over_outcome(daemon);

	if (!outcome)
		return json_null();
	return json_pack("{s:I, s:I, s:I}", "connections", (json_int_t)outcome->connections, "lost",
			 (json_int_t)outcome->lost, "gap_ms", (json_int_t)outcome->gap_ms);
}

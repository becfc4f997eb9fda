/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/daemon/fake_rooms.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "control/control.h"
#include "daemon/collect.h"
#include "daemon/metrics.h"
#include "forwarder/forwarder.h"
#include "forwarder/handover.h"
#include "store/store.h"

#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

struct fake_rooms rooms;

/* ---- the fabric ---- */

void fabric_make(struct fabric *fabric, const struct fabric_plan *plan, fabric_slot_done *done, void *context)
{
	(void)fabric;
	rooms.making = done;
	rooms.making_context = context;
	rooms.making_slot = plan->slot;
}

void fabric_shun(struct fabric *fabric, unsigned slot, bool shun)
{
	(void)fabric;
	(void)slot;
	(void)shun;
}

void fabric_destroy(struct fabric *fabric, unsigned slot, const struct config_layout *layout, fabric_done *done,
		    void *context)
{
	(void)fabric;
	(void)slot;
	(void)layout;
	rooms.destroying = done;
	rooms.destroying_context = context;
}

static void note_wake(const struct fabric_plan *plan)
{
	rooms.turns.woken_by_packets = plan->wake;
	rooms.turns.wake_ports = plan->wake ? plan->wake->count : 0;
}

void fabric_update(struct fabric *fabric, const struct fabric_plan *plan, fabric_done *done, void *context)
{
	(void)fabric;
	note_wake(plan);
	rooms.updates++;
	rooms.updating = done;
	rooms.updating_context = context;
}

void fabric_pause(struct fabric *fabric, const struct fabric_plan *plan, fabric_done *done, void *context)
{
	(void)fabric;
	note_wake(plan);
	rooms.turns.pauses++;
	rooms.turning = done;
	rooms.turning_context = context;
}

void fabric_resume(struct fabric *fabric, const struct fabric_plan *plan, bool keep, fabric_done *done, void *context)
{
	(void)fabric;
	(void)plan;
	rooms.turns.resumes++;
	rooms.turns.kept = keep;
	rooms.turning = done;
	rooms.turning_context = context;
}

int fabric_check_egress(const struct egress *egress, struct err *err)
{
	(void)egress;
	(void)err;
	return 0;
}

void fabric_recheck(struct fabric *fabric, unsigned slot)
{
	(void)fabric;
	(void)slot;
}

unsigned fabric_pool_slot(const struct fabric *fabric)
{
	(void)fabric;
	return 0;
}

/* ERR for CODE; NULL for 0. */
static const struct err *err_of(int code, struct err *err)
{
	if (code)
		err_set(err, code, "fake");
	return code ? err : NULL;
}

void fake_made(int code)
{
	const struct fabric_slot slot = { .slot = rooms.making_slot, .netns_fd = -1, .mtu = 1500 };
	fabric_slot_done *done = steal_ptr(&rooms.making);
	struct err err;

	ck_assert_ptr_nonnull(done);
	done(rooms.making_context, code ? NULL : &slot, err_of(code, &err));
}

void fake_destroyed(int code)
{
	fabric_done *done = steal_ptr(&rooms.destroying);
	struct err err;

	ck_assert_ptr_nonnull(done);
	done(rooms.destroying_context, err_of(code, &err));
}

void fake_updated(int code)
{
	fabric_done *done = steal_ptr(&rooms.updating);
	struct err err;

	ck_assert_ptr_nonnull(done);
	done(rooms.updating_context, err_of(code, &err));
}

void fabric_end_clients(struct fabric *fabric, uint32_t host_ip, int origins)
{
	(void)fabric;
	(void)host_ip;
	(void)origins;
}

void fabric_end_datagrams(struct fabric *fabric, uint32_t host_ip, uint16_t guest_port)
{
	(void)fabric;
	(void)host_ip;
	(void)guest_port;
}

void fabric_end_clients_of(struct fabric *fabric, uint32_t host_ip, uint16_t guest_port, const struct addr *asked,
			   int origins, bool untold)
{
	(void)fabric;
	(void)host_ip;
	(void)guest_port;
	(void)asked;
	(void)origins;
	(void)untold;
}

bool fabric_list_clients(struct fabric *fabric, uint32_t host_ip, int origins, size_t limit, fabric_clients_done *done,
			 void *context)
{
	(void)fabric;
	(void)host_ip;
	(void)origins;
	(void)limit;
	(void)done;
	(void)context;
	return false;
}

void fake_turned(int code)
{
	fabric_done *done = steal_ptr(&rooms.turning);
	struct err err;

	ck_assert_ptr_nonnull(done);
	done(rooms.turning_context, err_of(code, &err));
}

/* ---- the forwarder ---- */

struct fwd_route *fwd_route_new(struct forwarder *forwarder, const char *id, unsigned slot, const struct limits *limits)
{
	(void)forwarder;
	(void)id;
	(void)slot;
	(void)limits;
	struct fwd_route *route = malloc(1);
	rooms.routes += route != NULL;
	return route;
}

void fwd_route_close(struct fwd_route *route, enum fwd_close_reason reason, unsigned drain_ms,
		     void (*done)(void *context), void *context)
{
	(void)reason;
	(void)drain_ms;
	if (rooms.closing)
		return; /* the second call only ends the drain */
	rooms.closing = done;
	rooms.closing_context = context;
	rooms.routes--;
	free(route);
}

void fake_closed(void)
{
	void (*done)(void *context) = steal_ptr(&rooms.closing);

	ck_assert_ptr_nonnull(done);
	done(rooms.closing_context);
}

void fwd_route_set_guest(struct fwd_route *route, uint32_t ip)
{
	(void)route;
	(void)ip;
}

void fwd_route_set_source(struct fwd_route *route, uint32_t ip)
{
	(void)route;
	(void)ip;
}

void fwd_route_on_answered(struct fwd_route *route, void (*answered)(void *context, uint16_t port, enum proto proto),
			   void *context)
{
	(void)route;
	(void)answered;
	(void)context;
}

void fwd_route_set_namespace(struct fwd_route *route, int netns_fd)
{
	(void)route;
	(void)netns_fd;
}

void fwd_route_set_carrier_downs(struct fwd_route *route, int64_t downs)
{
	(void)route;
	(void)downs;
}

void fwd_route_set_up(struct fwd_route *route, bool up)
{
	(void)route;
	(void)up;
}

void fwd_route_set_ready(struct fwd_route *route, bool ready)
{
	(void)ready;
	if (!route) /* an assertion that holds needs memory, too */
		ck_abort_msg("no route");
}

void fwd_route_set_limits(struct fwd_route *route, const struct limits *limits)
{
	(void)route;
	(void)limits;
}

void fwd_listeners_follow_limits(struct forwarder *forwarder, const struct fwd_route *route)
{
	(void)forwarder;
	(void)route;
}

void fwd_route_set_door(struct fwd_route *route, const struct door_policy *policy)
{
	(void)route;
	rooms.door = *policy;
}

void fwd_door_stats(const struct forwarder *forwarder, struct fwd_door_stats *stats)
{
	(void)forwarder;
	*stats = (struct fwd_door_stats){ 0 };
}

void fwd_route_set_isolated(struct fwd_route *route, bool isolated)
{
	(void)route;
	rooms.isolated = isolated;
}

void fwd_route_set_name(struct fwd_route *route, const char *name)
{
	(void)route;
	(void)name;
}

void fwd_route_set_pace(struct fwd_route *route, uint64_t bytes_per_second)
{
	(void)route;
	(void)bytes_per_second;
}

void fwd_route_pause(struct fwd_route *route)
{
	(void)route;
	rooms.route_paused = true;
}

void fwd_route_resume(struct fwd_route *route, bool keep)
{
	(void)route;
	(void)keep;
	rooms.route_paused = rooms.awaits = false;
}

int fwd_route_set_wake(struct fwd_route *route, const struct fwd_wake *wake)
{
	(void)route;
	if (rooms.route_wake_error)
		return -1;
	rooms.route_wakes = wake;
	rooms.route_wake = wake ? *wake : (struct fwd_wake){ 0 };
	return 0;
}

void fwd_route_on_asked(struct fwd_route *route, void (*asked)(void *context, const struct fwd_asking *asking),
			void *context)
{
	(void)route;
	rooms.asked = asked;
	rooms.asked_context = context;
}

void fwd_route_await_client(struct fwd_route *route)
{
	(void)route;
	rooms.awaits = rooms.route_paused && rooms.route_wakes;
}

void fwd_route_stats(const struct fwd_route *route, struct fwd_route_stats *stats)
{
	(void)route;
	*stats = (struct fwd_route_stats){ 0 };
}

struct fwd_probe *fwd_probe_start(struct fwd_route *route, uint16_t port, void (*accepted)(void *context),
				  void *context)
{
	(void)route;
	(void)port;
	(void)accepted;
	(void)context;
	return NULL;
}

void fwd_probe_stop(struct fwd_probe *probe)
{
	(void)probe;
}

/* No sandbox of these tests has a port. */
struct fwd_listener *fwd_listener_open(struct forwarder *forwarder, const struct addr *listen, struct fwd_route *route,
				       const struct fwd_listener_options *options, struct err *err)
{
	(void)forwarder;
	(void)listen;
	(void)route;
	(void)options;
	err_set(err, EMFILE, "fake");
	return NULL;
}

void fwd_listener_close(struct fwd_listener *listener, bool reset)
{
	(void)listener;
	(void)reset;
}

int fwd_listener_fd(const struct fwd_listener *listener)
{
	(void)listener;
	return -1;
}

bool fwd_is_closing(const struct forwarder *forwarder)
{
	(void)forwarder;
	return false;
}

void fwd_on_closed(struct forwarder *forwarder, void (*done)(void *context), void *context)
{
	(void)forwarder;
	(void)done;
	(void)context;
}

void fwd_set_default(struct forwarder *forwarder, struct fwd_route *route)
{
	(void)forwarder;
	(void)route;
}

/* ---- store, control socket, counters ---- */

int store_save(struct store *store, const struct sandbox *sandbox, struct err *err)
{
	(void)store;
	(void)sandbox;
	if (rooms.store_error)
		return err_set(err, rooms.store_error, "fake");
	rooms.files = 1;
	return 0;
}

int store_remove(struct store *store, unsigned slot, struct err *err)
{
	(void)store;
	(void)slot;
	(void)err;
	rooms.files = 0;
	return 0;
}

/* An assertion that holds needs memory, and so would noting it: not without. */
void control_event(struct control *control, const char *type, const char *id, json_t *fields)
{
	char *text = fields ? json_dumps(fields, JSON_COMPACT | JSON_SORT_KEYS) : NULL;

	(void)control;
	(void)id;
	rooms.events++;
	snprintf(rooms.event, sizeof(rooms.event), "%s", type);
	snprintf(rooms.fields, sizeof(rooms.fields), "%s", text ? text : "");
	free(text);
	json_decref(fields);
}

void control_event_host(struct control *control, const char *check, const char *status, const char *detail)
{
	(void)control;
	(void)check;
	(void)status;
	(void)detail;
}

void control_sandbox_gone(struct control *control, const char *id)
{
	(void)control;
	(void)id;
}

void daemon_metrics_count_registration(struct daemon *daemon, uint64_t duration_us)
{
	(void)daemon;
	(void)duration_us;
}

void daemon_collect_now(struct daemon *daemon, struct sandbox *sandbox)
{
	(void)daemon;
	(void)sandbox;
}

void daemon_metrics_count_repair(struct daemon *daemon)
{
	(void)daemon;
	rooms.repairs++;
}

void daemon_metrics_count_repair_failure(struct daemon *daemon)
{
	(void)daemon;
	rooms.troubles++;
}

void control_state_changed(struct control *control, struct sandbox *sandbox, enum sandbox_state from, const char *cause,
			   uint64_t previous_ms)
{
	(void)control;
	(void)sandbox;
	(void)from;
	(void)cause;
	(void)previous_ms;
}

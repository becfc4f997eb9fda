/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A handover at the start of a run. The record is read at once, before anybody is accepted, so that new connections get ids of their
 * own. Then each connection waits for its sandbox (thaw_wait.c). Main judges by the facts about the route, chooses a worker for each
 * connection, and counts it, by no limit: it was admitted once. The worker proves the rest and revives it (thaw_connection.c).
 */
#include "forwarder/thaw.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "base/log.h"
#include "forwarder/accept.h"
#include "forwarder/connection.h"
#include "forwarder/core.h"
#include "forwarder/endpoint.h"
#include "forwarder/handover_record.h"
#include "forwarder/listener.h"
#include "forwarder/route.h"
#include "forwarder/socket.h"
#include "forwarder/thaw_wait.h"
#include "forwarder/worker.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Endpoints whose listener is not open any more, or not yet: each with our reference. */
struct thaw_endpoints {
	VEC_OF(struct fwd_endpoint *);
};

enum { LETTER_CONNECTIONS = 128 };

/* The connections of one frozen route on their way into letters: one for each worker, until it is full. */
struct thaw_sorting {
	struct thaw *thaw;
	struct fwd_route *route;
	struct frozen_route *frozen;
	struct thaw_verdict verdict;
	struct thaw_endpoints endpoints;
	struct thaw_letter **letters; /* by worker; NULL: none yet */
};

/* ---- The verdict ---- */

static bool fwd_thaw_same_namespace(const struct fwd_route *route, const struct frozen_route *frozen)
{
	struct stat status;

	/* The clients of a sandbox without a namespace, all held, lose nothing by getting one. */
	if (!frozen->netns_inode)
		return true;
	return route->state.netns_fd >= 0 && fstat(route->state.netns_fd, &status) == 0 &&
	       status.st_dev == frozen->netns_device && status.st_ino == frozen->netns_inode;
}

static bool fwd_thaw_same_carrier(const struct fwd_route *route, const struct frozen_route *frozen)
{
	const struct route_state *state = &route->state;

	return state->up && state->carrier_downs >= 0 && state->carrier_downs == frozen->carrier_downs;
}

static struct thaw_verdict fwd_thaw_judge(const struct fwd_route *route, const struct frozen_route *frozen)
{
	const struct route_state *state = &route->state;

	if (route->slot != frozen->slot || !fwd_thaw_same_namespace(route, frozen))
		return (struct thaw_verdict){ .all_end = true, .reason = CLOSE_NO_NAMESPACE };
	if (frozen->paused && !state->paused && state->flow_resets)
		return (struct thaw_verdict){ .flows_end = true, .reason = CLOSE_PAUSED_RESET };
	if (!state->paused && !fwd_thaw_same_carrier(route, frozen))
		return (struct thaw_verdict){ .flows_end = true, .reason = CLOSE_CARRIER_LOST };
	return (struct thaw_verdict){ 0 };
}

/* The state that these connections knew, where it can have changed while nobody told them. */
static struct route_state fwd_thaw_state_before(const struct fwd_route *route, const struct frozen_route *frozen)
{
	struct route_state before = route->state;

	before.limits.connect_deadline_ms = frozen->limits.connect_deadline_ms;
	before.limits.idle_ms = frozen->limits.idle_ms;
	before.limits.half_closed_ms = frozen->limits.half_closed_ms;
	before.limits.keepalive_ms = frozen->limits.keepalive_ms;
	before.pace = frozen->pace;
	before.paused = frozen->paused;
	return before;
}

/* ---- Endpoints ---- */

static bool fwd_thaw_is_its_endpoint(const struct fwd_endpoint *endpoint, const struct frozen *frozen)
{
	enum fwd_direction direction = fwd_frozen_direction(frozen);

	/* That of a client of the door is its own, although its port may be the same. */
	if (endpoint->door || endpoint->direction != direction || !addr_equal(&endpoint->listen, &frozen->listen))
		return false;
	if (direction == DIRECTION_OUT)
		return fwd_target_equal(&endpoint->target, &frozen->target);
	return endpoint->guest_port == frozen->guest_port && endpoint->proxy_protocol == frozen->proxy_protocol;
}

static struct fwd_endpoint *fwd_thaw_find_former(const struct thaw_sorting *sorting, const struct frozen *frozen)
{
	for (size_t i = 0; i < sorting->endpoints.count; i++) {
		struct fwd_endpoint *endpoint = sorting->endpoints.items[i];

		if (fwd_thaw_is_its_endpoint(endpoint, frozen))
			return endpoint;
	}
	return NULL;
}

static struct fwd_endpoint *fwd_thaw_make_former(struct thaw_sorting *sorting, const struct frozen *frozen)
{
	struct fwd_endpoint **place = vec_push(&sorting->endpoints);

	if (!place)
		return NULL;
	if (frozen->kind == FROZEN_DOOR)
		*place = fwd_endpoint_new_door(frozen->door_kind, frozen->guest_port, &frozen->door_token);
	else if (fwd_frozen_direction(frozen) == DIRECTION_OUT)
		*place = fwd_endpoint_new_out(0, &frozen->listen, &frozen->target);
	else
		*place = fwd_endpoint_new(0, &frozen->listen, frozen->guest_port, frozen->proxy_protocol);
	if (!*place) {
		sorting->endpoints.count--;
		return NULL;
	}
	(*place)->former = true;
	return *place;
}

/* As this run has it; NULL: it does not. A guest that waits for a service is led to where that is now. */
static struct fwd_endpoint *fwd_thaw_find_present(const struct fwd_route *route, const struct frozen *frozen)
{
	struct fwd_endpoint *service;

	if (fwd_frozen_direction(frozen) == DIRECTION_IN)
		return fwd_listeners_find(route, &frozen->listen, frozen->guest_port, frozen->proxy_protocol);
	service = fwd_services_find(route->forwarder, &frozen->listen);
	if (!service || (frozen->phase != FROZEN_HELD && !fwd_target_equal(&service->target, &frozen->target)))
		return NULL;
	return service;
}

/* The present one, or one without a listener. NULL for lack of memory. */
static struct fwd_endpoint *fwd_thaw_endpoint(struct thaw_sorting *sorting, const struct frozen *frozen)
{
	struct fwd_endpoint *endpoint;

	/* Each client of the door has its own. */
	if (frozen->kind == FROZEN_DOOR)
		return fwd_thaw_make_former(sorting, frozen);
	endpoint = fwd_thaw_find_present(sorting->route, frozen);
	if (!endpoint)
		endpoint = fwd_thaw_find_former(sorting, frozen);
	return endpoint ? endpoint : fwd_thaw_make_former(sorting, frozen);
}

/* ---- Letters ---- */

static void fwd_thaw_let_go(struct frozen_route *frozen)
{
	if (--frozen->letters)
		return;
	vec_free(frozen);
	free(frozen);
}

/* Main thread. */
static void fwd_thaw_on_answer(struct mail *mail)
{
	struct thaw_letter *letter = container_of(mail, struct thaw_letter, mail);
	struct thaw *thaw = letter->thaw;

	thaw->letters--;
	thaw->result.taken += letter->taken;
	thaw->result.lost += letter->lost;
	if (letter->taken && thaw->frozen_ms)
		thaw->result.gap_ms = clock_now_ms() - thaw->frozen_ms;
	fwd_thaw_let_go(letter->frozen);
	vec_free(letter);
	free(letter);
	fwd_thaw_wait_check(thaw);
}

static struct thaw_letter *fwd_thaw_letter(struct thaw_sorting *sorting, size_t worker)
{
	struct thaw *thaw = sorting->thaw;
	struct route_side *side = fwd_route_side_at(sorting->route, worker);
	struct thaw_letter *letter = sorting->letters[worker];
	uint64_t now_ms = clock_now_ms();

	if (letter || !side)
		return letter;
	letter = calloc(1, sizeof(*letter));
	if (!letter || vec_reserve(letter, LETTER_CONNECTIONS) < 0) {
		free(letter);
		return NULL;
	}
	letter->mail.deliver = fwd_thaw_on_letter;
	letter->answer = fwd_thaw_on_answer;
	letter->thaw = thaw;
	letter->frozen = sorting->frozen;
	letter->side = side;
	letter->before = fwd_thaw_state_before(sorting->route, sorting->frozen);
	letter->verdict = sorting->verdict;
	letter->gap_us = now_ms > thaw->aged_ms ? (now_ms - thaw->aged_ms) * 1000 : 0;
	sorting->letters[worker] = letter;
	return letter;
}

/* Of the workers that accept for the route, the one with the fewest connections. */
static size_t fwd_thaw_choose_worker(const struct fwd_route *route)
{
	const struct forwarder *forwarder = route->forwarder;
	size_t count = fwd_accepting_workers(forwarder), best = route->first_worker % forwarder->worker_count;

	for (size_t i = 1; i < count; i++) {
		size_t index = (route->first_worker + i) % forwarder->worker_count;

		if (fwd_tally_load(forwarder->workers[index]) < fwd_tally_load(forwarder->workers[best]))
			best = index;
	}
	return best;
}

static void fwd_thaw_post(struct thaw_sorting *sorting, size_t worker)
{
	struct thaw_letter *letter = sorting->letters[worker];

	sorting->letters[worker] = NULL;
	sorting->thaw->letters++;
	sorting->frozen->letters++;
	fwd_tally_send(letter->side);
	base_mailbox_post(letter->side->worker->mailbox, &letter->mail);
}

/* Puts FROZEN into a letter, counted and admitted. False for lack of memory. */
static bool fwd_thaw_sort_one(struct thaw_sorting *sorting, struct frozen *frozen)
{
	struct fwd_route *route = sorting->route;
	size_t worker = fwd_thaw_choose_worker(route);
	struct thaw_letter *letter = fwd_thaw_letter(sorting, worker);
	struct fwd_endpoint *endpoint = fwd_thaw_endpoint(sorting, frozen);
	struct thaw_item *item = letter && endpoint ? vec_push(letter) : NULL;

	if (!item)
		return false;
	item->frozen = frozen;
	item->endpoint = fwd_endpoint_reference(endpoint);
	fwd_share_hold(route->forwarder, -(int)fwd_frozen_fds(frozen));
	fwd_tally_admit(route, fwd_frozen_direction(frozen), 0, 0);
	fwd_tally_return(letter->side);
	if (letter->count == LETTER_CONNECTIONS)
		fwd_thaw_post(sorting, worker);
	return true;
}

/* Posts those that are not full. */
static void fwd_thaw_post_rest(struct thaw_sorting *sorting)
{
	for (size_t i = 0; i < sorting->route->forwarder->worker_count; i++)
		if (sorting->letters[i])
			fwd_thaw_post(sorting, i);
	for (size_t i = 0; i < sorting->endpoints.count; i++)
		fwd_endpoint_release(sorting->endpoints.items[i]);
	vec_free(&sorting->endpoints);
	free(sorting->letters);
}

/* Whether it is to a service that this run does not have, so that guests are not to have it either. */
static bool fwd_thaw_is_withdrawn(const struct fwd_route *route, const struct frozen *frozen)
{
	return fwd_frozen_direction(frozen) == DIRECTION_OUT && !fwd_services_find(route->forwarder, &frozen->listen);
}

static void fwd_thaw_group(struct fwd_route *route, struct frozen_route *frozen)
{
	struct thaw_sorting sorting = { .thaw = route->forwarder->thaw,
					.route = route,
					.frozen = frozen,
					.verdict = fwd_thaw_judge(route, frozen) };

	frozen->letters = 1;
	sorting.letters = calloc(route->forwarder->worker_count, sizeof(struct thaw_letter *));
	for (size_t i = 0; i < frozen->count; i++) {
		struct frozen *item = &frozen->items[i];

		if (fwd_thaw_is_withdrawn(route, item))
			fwd_thaw_wait_reset(sorting.thaw, frozen, item, CLOSE_UNREGISTERED);
		else if (!sorting.letters || !fwd_thaw_sort_one(&sorting, item))
			fwd_thaw_wait_reset(sorting.thaw, frozen, item, CLOSE_HANDOVER_LOST);
	}
	if (sorting.letters)
		fwd_thaw_post_rest(&sorting);
	fwd_thaw_let_go(frozen);
}

void fwd_thaw_route(struct fwd_route *route)
{
	struct forwarder *forwarder = route->forwarder;
	struct frozen_route *frozen;

	/* At a handover those that wait here go on to the next run. */
	if (!forwarder->thaw || forwarder->freeze || route->dying)
		return;
	while ((frozen = fwd_thaw_wait_take(forwarder->thaw, route->id)))
		fwd_thaw_group(route, frozen);
	fwd_thaw_wait_check(forwarder->thaw);
}

void fwd_thaw_default(struct forwarder *forwarder)
{
	fwd_thaw_route(forwarder->no_backend);
}

/* ---- The record ---- */

/* The time of the record, or now where it cannot be right. */
static uint64_t fwd_thaw_frozen_ms(uint64_t written_ms)
{
	uint64_t now_ms = clock_now_ms();

	return written_ms && written_ms <= now_ms ? written_ms : now_ms;
}

static void fwd_thaw_receive(struct thaw *thaw, const struct record_finding *finding)
{
	struct forwarder *forwarder = thaw->forwarder;
	const struct frozen_route *route;

	thaw->frozen_ms = thaw->aged_ms = fwd_thaw_frozen_ms(finding->head.frozen_ms);
	fwd_connection_skip_ids(finding->head.last_id);
	STAILQ_FOREACH(route, &thaw->waiting, next)
	{
		thaw->count += route->count;
		for (size_t i = 0; i < route->count; i++) {
			fwd_share_hold(forwarder, (int)fwd_frozen_fds(&route->items[i]));
			fwd_connection_skip_ids(route->items[i].id);
		}
	}
}

static void fwd_thaw_report(struct thaw *thaw, const struct record_finding *finding, size_t unclaimed)
{
	if (finding->problem)
		log_warning("record of the former run's connections is damaged", F_STR("problem", finding->problem),
			    F_UINT("readable", finding->read), F_UINT("lost", finding->lost),
			    F_UINT("unclaimed_descriptors", unclaimed));
	thaw->result.lost += finding->lost;
	fwd_tally_drop(thaw->forwarder, CLOSE_HANDOVER_LOST, finding->lost);
}

/* Those that no connection has: a reset ends what hangs on them. */
static size_t fwd_thaw_close(int *fds, size_t count)
{
	size_t closed = 0;

	for (size_t i = 0; i < count; i++) {
		closed += fds[i] >= 0;
		fwd_socket_reset(&fds[i]);
	}
	return closed;
}

void fwd_thaw_begin(struct forwarder *forwarder, const uint8_t *record, size_t size, int *fds, size_t count,
		    void (*done)(void *context, const struct fwd_thaw_result *result), void *context)
{
	struct thaw *thaw = fwd_thaw_wait_new(forwarder);
	struct record_finding finding;

	if (!thaw) {
		log_error("connections of the former run are lost", F_STR("error", "no memory"));
		fwd_thaw_close(fds, count);
		return;
	}
	forwarder->thaw = thaw;
	thaw->done = done;
	thaw->context = context;
	fwd_record_read(record, size, fds, count, &thaw->waiting, &finding);
	fwd_thaw_report(thaw, &finding, fwd_thaw_close(fds, count));
	fwd_thaw_receive(thaw, &finding);
	fwd_thaw_wait_check(thaw);
}

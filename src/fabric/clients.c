/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds and ends clients that are connected to a guest past the forwarder. The kernel walks over the sockets of the whole host to find them,
 * so the claimer asks it, and all guests whose clients are to be ended meanwhile share the next dump. A dump that fails for a shortage is
 * repeated, because the clients would hang until their own timeouts.
 *
 * The claimer may be busy, and until it asks, the host address may lead to another guest already. So clients that were led after the request
 * are spared. A connect() that was about to be led at the time of the request may have no socket in the dump yet, so there is a second dump.
 */
#include "base/clock.h"
#include "base/container_of.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/spares.h"
#include "base/vec.h"
#include "fabric/answer.h"
#include "fabric/state.h"
#include "kernel/sock_kill.h"
#include "kernel/sock_list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { AGAIN_MS = 1000, LATE_MS = 1000 };

struct client_ending {
	uint32_t host_ip;
	enum proto proto;
	uint16_t guest_port; /* 0: any, and the next three mean nothing */
	struct addr asked;   /* TCP: only clients that had asked for this address */
	int origins;         /* TCP: the map that knows them; ours; -1: none */
	bool untold;         /* TCP: also clients of which no map knows what they had asked for */
	bool late;           /* the second dump: only clients that were led */
	uint64_t before_ns;  /* CLOCK_MONOTONIC of the request: clients that were led later are spared */
};

struct ending_list {
	VEC_OF(struct client_ending);
};

struct clients {
	struct fabric *fabric;
	struct job job;
	bool under_way;
	struct ending_list due;    /* the next job's */
	struct ending_list ending; /* the job's */
	struct ending_list later;  /* for the second dump, oldest first */
	int origins;               /* for all clients of a guest; ours; -1: none */
	int job_origins;           /* the job's own duplicate */
	size_t ended;              /* the job's: connections */
	struct err refusal;        /* the job's: a failure that would repeat itself; code 0: none */
	struct timer again, look_again;
};

static int fabric_clients_duplicate(int origins)
{
	return origins < 0 ? -1 : SPARES_TRY(fcntl(origins, F_DUPFD_CLOEXEC, 0));
}

static void fabric_clients_close(int *origins)
{
	if (*origins >= 0)
		close(*origins);
	*origins = -1;
}

/* ---- Ending, on the claimer ---- */

static bool fabric_clients_may_pass(int code)
{
	return err_code_is_exhaustion(code) || code == EINTR || code == EAGAIN || code == EBUSY;
}

/* 0, or -1 with ERR for a shortage. Other failures are noted as the refusal. */
static int fabric_clients_kill(struct clients *clients, const struct kern_sock_filter *filter, struct err *err)
{
	size_t ended = 0;
	int result = filter->dest_count ? kern_sock_kill_to(filter, &ended, err) : 0;

	clients->ended += ended;
	if (result == 0 || fabric_clients_may_pass(err->code))
		return result;
	clients->refusal = *err;
	return 0;
}

/* Ends all clients of the guests that the list names with PROTO and LATE, by one dump for each family. */
static int fabric_clients_end_whole(struct clients *clients, enum proto proto, bool late, struct err *err)
{
	const struct ending_list *ending = &clients->ending;
	uint32_t *ips = calloc(ending->count + 1, sizeof(*ips));
	uint64_t *before_ns = calloc(ending->count + 1, sizeof(*before_ns));
	struct kern_sock_filter filter = { .dest_ips = ips,
					   .proto = proto,
					   .origins = proto == PROTO_TCP ? clients->job_origins : -1,
					   .led_before_ns = before_ns,
					   .led_only = late };
	int result;

	for (size_t i = 0; ips && before_ns && i < ending->count; i++) {
		const struct client_ending *item = &ending->items[i];

		if (item->guest_port || item->proto != proto || item->late != late)
			continue;
		before_ns[filter.dest_count] = item->before_ns;
		ips[filter.dest_count++] = item->host_ip;
	}
	result =
	    ips && before_ns ? fabric_clients_kill(clients, &filter, err) : err_set(err, ENOMEM, "clients of guests");
	free(ips);
	free(before_ns);
	return result;
}

static int fabric_clients_end_some(struct clients *clients, const struct client_ending *ending, struct err *err)
{
	const struct kern_sock_filter filter = { .dest_ips = &ending->host_ip,
						 .dest_count = 1,
						 .proto = ending->proto,
						 .dest_port = ending->guest_port,
						 .origins = ending->origins,
						 .asked = ending->origins < 0 ? NULL : &ending->asked,
						 .untold = ending->untold,
						 .led_before_ns = &ending->before_ns };

	return fabric_clients_kill(clients, &filter, err);
}

static int fabric_run_clients(struct job *job)
{
	struct clients *clients = container_of(job, struct clients, job);

	clients->ended = 0;
	clients->refusal.code = 0;
	if (fabric_clients_end_whole(clients, PROTO_TCP, false, &job->err) < 0 ||
	    fabric_clients_end_whole(clients, PROTO_TCP, true, &job->err) < 0 ||
	    fabric_clients_end_whole(clients, PROTO_UDP, false, &job->err) < 0)
		return -1;
	for (size_t i = 0; i < clients->ending.count; i++)
		if (clients->ending.items[i].guest_port &&
		    fabric_clients_end_some(clients, &clients->ending.items[i], &job->err) < 0)
			return -1;
	return 0;
}

/* ---- Requests ---- */

static void fabric_clients_clear(struct ending_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		fabric_clients_close(&list->items[i].origins);
	list->count = 0;
}

static void fabric_finish_clients(struct job *job);

static void fabric_clients_begin(struct clients *clients)
{
	const struct ending_list empty = clients->ending;

	if (clients->under_way || !clients->due.count || clients->fabric->stopping)
		return;
	clients->ending = clients->due;
	clients->due = empty;
	clients->under_way = true;
	clients->job_origins = fabric_clients_duplicate(clients->origins);
	clients->job = (struct job){ .run = fabric_run_clients, .finish = fabric_finish_clients };
	fabric_job_thread_post(clients->fabric->claimer, &clients->job, JOB_CLAIM);
}

/* The requests of the failed job are due again, with those that came meanwhile. */
static void fabric_clients_put_back(struct clients *clients)
{
	for (size_t i = 0; i < clients->ending.count; i++) {
		struct client_ending *kept = vec_push(&clients->due);

		if (!kept)
			break;
		*kept = clients->ending.items[i];
		clients->ending.items[i].origins = -1;
	}
	fabric_clients_clear(&clients->ending);
	timer_start(&clients->again, AGAIN_MS);
}

/* Has the second dump made. Without ORIGINS it could not spare clients of the next guest; without memory there is none either. */
static void fabric_clients_look_again(struct clients *clients)
{
	for (size_t i = 0; clients->origins >= 0 && i < clients->ending.count; i++) {
		const struct client_ending *item = &clients->ending.items[i];
		struct client_ending *later =
		    item->guest_port || item->late || item->proto != PROTO_TCP ? NULL : vec_push(&clients->later);

		if (!later)
			continue;
		*later = *item;
		later->late = true;
	}
	if (clients->later.count && !timer_is_armed(&clients->look_again))
		timer_start(&clients->look_again, LATE_MS);
}

static void fabric_clients_on_look_again(void *context)
{
	struct clients *clients = context;
	uint64_t now_ms = clock_now_us() / 1000;
	size_t count = 0;

	while (count < clients->later.count && clients->later.items[count].before_ns / 1000000 + LATE_MS <= now_ms) {
		struct client_ending *item = vec_push(&clients->due);

		if (item)
			*item = clients->later.items[count];
		count++;
	}
	clients->later.count -= count;
	memmove(clients->later.items, clients->later.items + count,
		clients->later.count * sizeof(clients->later.items[0]));
	if (clients->later.count)
		timer_start(&clients->look_again, LATE_MS / 10);
	fabric_clients_begin(clients);
}

static void fabric_finish_clients(struct job *job)
{
	static const struct log_limit limit = { .burst = 3, .interval_ms = 60000 };
	struct clients *clients = container_of(job, struct clients, job);
	const struct err *err = fabric_job_failure(job);

	clients->under_way = false;
	fabric_clients_close(&clients->job_origins);
	if (err && err->code != ECANCELED) {
		log_limited(&limit, LOG_WARNING_LEVEL,
			    "connections of this host's processes to guests were not ended; trying again",
			    F_STR("error", err->text));
		fabric_clients_put_back(clients);
		return;
	}
	if (!err && clients->refusal.code)
		log_limited(&limit, LOG_WARNING_LEVEL,
			    "connections of this host's processes to guests are left to their timeouts",
			    F_STR("error", clients->refusal.text));
	if (clients->ended)
		log_debug("connections of this host's processes to guests ended", F_UINT("count", clients->ended));
	if (!err)
		fabric_clients_look_again(clients);
	fabric_clients_clear(&clients->ending);
	if (!clients->due.count && !clients->later.count)
		fabric_clients_close(&clients->origins);
	fabric_clients_begin(clients);
}

static void fabric_clients_on_again(void *context)
{
	fabric_clients_begin(context);
}

static void fabric_clients_add(struct clients *clients, struct client_ending ending)
{
	struct client_ending *item = vec_push(&clients->due);

	/* To the next microsecond: not before the end of an entry that went just now. */
	ending.before_ns = (clock_now_us() + 1) * 1000;
	if (item) {
		*item = ending;
	} else {
		log_seldom(LOG_WARNING_LEVEL,
			   "connections of this host's processes to a guest are left to their timeouts",
			   F_STR("error", strerror(ENOMEM)));
		fabric_clients_close(&ending.origins);
	}
	if (!timer_is_armed(&clients->again))
		fabric_clients_begin(clients);
}

void fabric_end_clients(struct fabric *fabric, uint32_t host_ip, int origins)
{
	/* The map may be another one than that of the last time. */
	fabric_clients_close(&fabric->clients->origins);
	fabric->clients->origins = fabric_clients_duplicate(origins);
	fabric_clients_add(fabric->clients, (struct client_ending){ .host_ip = host_ip, .origins = -1 });
}

void fabric_end_datagrams(struct fabric *fabric, uint32_t host_ip, uint16_t guest_port)
{
	fabric_clients_add(
	    fabric->clients,
	    (struct client_ending){ .host_ip = host_ip, .proto = PROTO_UDP, .guest_port = guest_port, .origins = -1 });
}

void fabric_end_clients_of(struct fabric *fabric, uint32_t host_ip, uint16_t guest_port, const struct addr *asked,
			   int origins, bool untold)
{
	fabric_clients_add(fabric->clients, (struct client_ending){ .host_ip = host_ip,
								    .guest_port = guest_port,
								    .asked = *asked,
								    .origins = fabric_clients_duplicate(origins),
								    .untold = untold });
}

struct clients *fabric_clients_new(struct fabric *fabric, struct err *err)
{
	struct clients *clients = calloc(1, sizeof(*clients));

	if (!clients) {
		err_set(err, ENOMEM, "fabric");
		return NULL;
	}
	clients->fabric = fabric;
	clients->origins = clients->job_origins = -1;
	if (timer_init(&clients->again, fabric->base, fabric_clients_on_again, clients, err) == 0 &&
	    timer_init(&clients->look_again, fabric->base, fabric_clients_on_look_again, clients, err) == 0)
		return clients;
	timer_free(&clients->again);
	free(clients);
	return NULL;
}

void fabric_clients_free(struct clients *clients)
{
	if (!clients)
		return;
	timer_free(&clients->again);
	timer_free(&clients->look_again);
	fabric_clients_clear(&clients->due);
	fabric_clients_clear(&clients->ending);
	fabric_clients_clear(&clients->later);
	fabric_clients_close(&clients->origins);
	fabric_clients_close(&clients->job_origins);
	vec_free(&clients->due);
	vec_free(&clients->ending);
	vec_free(&clients->later);
	free(clients);
}

/* ---- Listing ---- */

struct client_listing {
	struct job job;
	fabric_clients_done *done;
	void *context;
	uint32_t host_ip;
	int origins; /* ours; -1: none */
	size_t limit;
	struct client_list {
		VEC_OF(struct fabric_client);
	} clients;
	bool broken; /* no memory */
};

static void fabric_clients_take(void *context, const struct kern_sock *sock)
{
	struct client_listing *listing = context;
	struct fabric_client *client = listing->clients.count < listing->limit ? vec_push(&listing->clients) : NULL;
	uint64_t now_ns = clock_now_us() * 1000;

	if (!client) {
		listing->broken |= listing->clients.count < listing->limit;
		return;
	}
	*client = (struct fabric_client){
		.asked = sock->led ? sock->asked : addr_from_ipv4(sock->dest_ip, sock->dest_port),
		.client = sock->local,
		.to = addr_from_ipv4(sock->dest_ip, sock->dest_port),
		.connecting = sock->connecting,
		.closing = sock->closing,
		.bytes_to_guest = sock->has_counts ? sock->sent : 0,
		.bytes_from_guest = sock->has_counts ? sock->received : 0,
		.age_ms = sock->since_ns && sock->since_ns < now_ns ? (now_ns - sock->since_ns) / 1000000 : 0,
	};
}

static int fabric_run_client_listing(struct job *job)
{
	enum { TRIES = 3 };
	struct client_listing *listing = container_of(job, struct client_listing, job);
	const struct kern_sock_filter filter = { .dest_ips = &listing->host_ip,
						 .dest_count = 1,
						 .origins = listing->origins };
	int result = -1;

	for (int i = 0; i < TRIES && result < 0 && (!i || job->err.code == EINTR); i++) {
		listing->clients.count = 0;
		result = kern_sock_list_to(&filter, fabric_clients_take, listing, &job->err);
	}
	if (result == 0 && listing->broken)
		return err_set(&job->err, ENOMEM, "clients of a guest");
	return result;
}

static void fabric_finish_client_listing(struct job *job)
{
	struct client_listing *listing = container_of(job, struct client_listing, job);

	listing->done(listing->context, listing->clients.items, listing->clients.count, fabric_job_failure(job));
	if (listing->origins >= 0)
		close(listing->origins);
	vec_free(&listing->clients);
	free(listing);
}

bool fabric_list_clients(struct fabric *fabric, uint32_t host_ip, int origins, size_t limit, fabric_clients_done *done,
			 void *context)
{
	struct client_listing *listing = calloc(1, sizeof(*listing));

	if (!listing)
		return false;
	*listing = (struct client_listing){ .job = { .run = fabric_run_client_listing,
						     .finish = fabric_finish_client_listing },
					    .done = done,
					    .context = context,
					    .host_ip = host_ip,
					    .origins = fabric_clients_duplicate(origins),
					    .limit = limit };
	fabric_job_thread_post(fabric->claimer, &listing->job, JOB_CLAIM);
	return true;
}

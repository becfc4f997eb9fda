/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clients that are connected to a guest past the forwarder. The kernel dumps the sockets of the whole host to find them, so the
 * claimer does it, and those whose end is due meanwhile wait for the next dump together. One that does not come off is repeated, as the
 * clients would hang until their own timeouts.
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

enum { AGAIN_MS = 1000 };

struct client_ending {
	uint32_t host_ip;
	uint16_t guest_port; /* 0: any, and the rest means nothing */
	struct addr asked;
	int origins; /* ours; -1: none */
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
	size_t ended;              /* the job's: connections */
	struct timer again;
};

/* ---- Ending ---- */

/* All of the list that are for a whole guest, in one dump for each family. */
static int fabric_clients_end_whole(struct clients *clients, struct err *err)
{
	uint32_t *ips = calloc(clients->ending.count + 1, sizeof(*ips));
	struct kern_sock_filter filter = { .dest_ips = ips, .origins = -1 };
	size_t ended = 0;
	int result = 0;

	if (!ips)
		return err_set(err, ENOMEM, "clients of guests");
	for (size_t i = 0; i < clients->ending.count; i++)
		if (!clients->ending.items[i].guest_port)
			ips[filter.dest_count++] = clients->ending.items[i].host_ip;
	if (filter.dest_count)
		result = kern_sock_kill_to(&filter, &ended, err);
	clients->ended += ended;
	free(ips);
	return result;
}

static int fabric_clients_end_some(struct clients *clients, const struct client_ending *ending, struct err *err)
{
	const struct kern_sock_filter filter = { .dest_ips = &ending->host_ip,
						 .dest_count = 1,
						 .dest_port = ending->guest_port,
						 .origins = ending->origins,
						 .asked = ending->origins < 0 ? NULL : &ending->asked };
	size_t ended = 0;
	int result = kern_sock_kill_to(&filter, &ended, err);

	clients->ended += ended;
	return result;
}

static int fabric_run_clients(struct job *job)
{
	struct clients *clients = container_of(job, struct clients, job);

	clients->ended = 0;
	if (fabric_clients_end_whole(clients, &job->err) < 0)
		return -1;
	for (size_t i = 0; i < clients->ending.count; i++)
		if (clients->ending.items[i].guest_port &&
		    fabric_clients_end_some(clients, &clients->ending.items[i], &job->err) < 0)
			return -1;
	return 0;
}

static void fabric_clients_clear(struct ending_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->items[i].origins >= 0)
			close(list->items[i].origins);
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
	clients->job = (struct job){ .run = fabric_run_clients, .finish = fabric_finish_clients };
	fabric_job_thread_post(clients->fabric->claimer, &clients->job, JOB_CLAIM);
}

/* What did not come off is due again, with what came meanwhile. */
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

static void fabric_finish_clients(struct job *job)
{
	static const struct log_limit limit = { .burst = 3, .interval_ms = 60000 };
	struct clients *clients = container_of(job, struct clients, job);
	const struct err *err = fabric_job_failure(job);

	clients->under_way = false;
	if (err && err->code != ECANCELED) {
		log_limited(&limit, LOG_WARNING_LEVEL, "clients of guests not ended; trying again",
			    F_STR("error", err->text));
		fabric_clients_put_back(clients);
		return;
	}
	if (clients->ended)
		log_debug("clients of guests ended", F_UINT("count", clients->ended));
	fabric_clients_clear(&clients->ending);
	fabric_clients_begin(clients);
}

static void fabric_clients_on_again(void *context)
{
	fabric_clients_begin(context);
}

static void fabric_clients_add(struct clients *clients, const struct client_ending *ending)
{
	struct client_ending *item = vec_push(&clients->due);

	if (item) {
		*item = *ending;
	} else {
		log_seldom(LOG_WARNING_LEVEL, "clients of a guest are left to their timeouts",
			   F_STR("error", strerror(ENOMEM)));
		if (ending->origins >= 0)
			close(ending->origins);
	}
	if (!timer_is_armed(&clients->again))
		fabric_clients_begin(clients);
}

static int fabric_clients_duplicate(int origins)
{
	return origins < 0 ? -1 : SPARES_TRY(fcntl(origins, F_DUPFD_CLOEXEC, 0));
}

void fabric_end_clients(struct fabric *fabric, uint32_t host_ip)
{
	fabric_clients_add(fabric->clients, &(struct client_ending){ .host_ip = host_ip, .origins = -1 });
}

void fabric_end_clients_of(struct fabric *fabric, uint32_t host_ip, uint16_t guest_port, const struct addr *asked,
			   int origins)
{
	fabric_clients_add(fabric->clients, &(struct client_ending){ .host_ip = host_ip,
								     .guest_port = guest_port,
								     .asked = *asked,
								     .origins = fabric_clients_duplicate(origins) });
}

struct clients *fabric_clients_new(struct fabric *fabric, struct err *err)
{
	struct clients *clients = calloc(1, sizeof(*clients));

	if (!clients) {
		err_set(err, ENOMEM, "fabric");
		return NULL;
	}
	clients->fabric = fabric;
	if (timer_init(&clients->again, fabric->base, fabric_clients_on_again, clients, err) == 0)
		return clients;
	free(clients);
	return NULL;
}

void fabric_clients_free(struct clients *clients)
{
	if (!clients)
		return;
	timer_free(&clients->again);
	fabric_clients_clear(&clients->due);
	fabric_clients_clear(&clients->ending);
	vec_free(&clients->due);
	vec_free(&clients->ending);
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

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker accepts for itself, or hands the client over by a message to another. Main sends the last clients of a socket to the
 * workers. Whoever accepted the client applies the limits, at once: what is under way is counted.
 */
#include "forwarder/arrival.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "forwarder/admission.h"
#include "forwarder/endpoint.h"
#include "forwarder/fair_share.h"
#include "forwarder/life.h"
#include "forwarder/route_side.h"
#include "forwarder/socket.h"
#include "forwarder/worker.h"

#include <stdlib.h>

enum { SLACK = 2 }; /* connections more than another worker's, beside a quarter, before one is handed over */

struct arrival_message {
	struct mail mail;
	struct arrival arrival;
};

struct arrival fwd_arrival_now(struct route_side *side, struct fwd_endpoint *endpoint, int fd,
			       const struct addr *client)
{
	return (struct arrival){
		.fd = fd, .client = *client, .endpoint = endpoint, .side = side, .accepted_us = clock_now_us()
	};
}

bool fwd_arrival_admit(const struct arrival *arrival, const struct route_state *state)
{
	int fd = arrival->fd;

	if (fwd_admission_take(arrival->side->route, state, arrival->endpoint->direction, SHARE_CONNECTION))
		return true;
	fwd_admission_refuse(arrival->side, arrival->endpoint, &arrival->client);
	fwd_socket_reset(&fd);
	return false;
}

struct endpoint_share *fwd_arrival_choose(struct endpoint_share *share)
{
	struct fwd_endpoint *endpoint = share->endpoint;
	struct endpoint_share *best = share;
	size_t least = fwd_tally_load(share->worker);

	for (size_t i = 0; i < endpoint->share_count; i++) {
		struct endpoint_share *other = &endpoint->shares[i];
		size_t load = fwd_tally_load(other->worker);

		if (load < least) {
			best = other;
			least = load;
		}
	}
	return fwd_tally_load(share->worker) > least + least / 4 + SLACK ? best : share;
}

/* fwd_admission_take() has counted the rest. */
void fwd_arrival_count(const struct arrival *arrival)
{
	fwd_endpoint_reference(arrival->endpoint);
	fwd_tally_arrive(arrival->side);
}

/* ---- Messages ---- */

static void fwd_arrival_on_message(struct mail *mail)
{
	struct arrival_message *message = container_of(mail, struct arrival_message, mail);
	struct arrival arrival = message->arrival;

	free(message);
	fwd_tally_deliver(arrival.side);
	fwd_life_begin(arrival.side->worker, &arrival);
}

bool fwd_arrival_hand_over(struct route_side *to, struct arrival arrival)
{
	struct arrival_message *message = malloc(sizeof(*message));

	if (!message)
		return false;
	arrival.side = to;
	*message = (struct arrival_message){ .mail.deliver = fwd_arrival_on_message, .arrival = arrival };
	fwd_tally_send(arrival.side);
	fwd_arrival_count(&arrival);
	base_mailbox_post(to->worker->mailbox, &message->mail);
	return true;
}

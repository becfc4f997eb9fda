/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker accepts for itself, or hands the client over by a message to another; main sends the last clients of a socket. Limits
 * and counters of a side are its worker's, so a client that main took is admitted only when the message is delivered.
 */
#include "forwarder/arrival.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "forwarder/admission.h"
#include "forwarder/endpoint.h"
#include "forwarder/life.h"
#include "forwarder/route_side.h"
#include "forwarder/socket.h"
#include "forwarder/worker.h"

#include <stdlib.h>

struct arrival_message {
	struct mail mail;
	struct arrival arrival;
	const struct endpoint_share *unasked; /* its worker has still to apply the limits; NULL: they were applied */
};

struct arrival fwd_arrival_now(const struct endpoint_share *share, int fd, const struct addr *client)
{
	return (struct arrival){ .fd = fd,
				 .client = *client,
				 .endpoint = share->endpoint,
				 .side = share->side,
				 .accepted_us = clock_now_us() };
}

bool fwd_arrival_admit(const struct endpoint_share *share, const struct arrival *arrival)
{
	int fd = arrival->fd;

	if (fwd_admission_take(share->side->route, &share->side->state))
		return true;
	fwd_admission_refuse(share, &arrival->client);
	fwd_socket_reset(&fd);
	return false;
}

/* fwd_admission_take() has counted the rest. */
void fwd_arrival_count(const struct arrival *arrival)
{
	fwd_endpoint_reference(arrival->endpoint);
	fwd_tally_arrive(arrival->side);
}

/* ---- Messages ---- */

static bool fwd_arrival_admit_unasked(const struct endpoint_share *share, const struct arrival *arrival)
{
	fwd_tally_unpromise(share->worker->forwarder);
	if (!fwd_arrival_admit(share, arrival))
		return false;
	fwd_arrival_count(arrival);
	return true;
}

static void fwd_arrival_on_message(struct mail *mail)
{
	struct arrival_message *message = container_of(mail, struct arrival_message, mail);
	struct arrival arrival = message->arrival;
	const struct endpoint_share *unasked = message->unasked;

	free(message);
	fwd_tally_deliver(arrival.side);
	if (!unasked || fwd_arrival_admit_unasked(unasked, &arrival))
		fwd_life_begin(arrival.side->worker, &arrival);
	else
		fwd_route_side_check_empty(arrival.side);
}

/* Counted as coming; base_mailbox_post() is owed. NULL for lack of memory. */
static struct arrival_message *fwd_arrival_message_new(const struct arrival *arrival,
						       const struct endpoint_share *unasked)
{
	struct arrival_message *message = malloc(sizeof(*message));

	if (!message)
		return NULL;
	*message =
	    (struct arrival_message){ .mail.deliver = fwd_arrival_on_message, .arrival = *arrival, .unasked = unasked };
	fwd_tally_send(arrival->side);
	return message;
}

bool fwd_arrival_hand_over(const struct endpoint_share *to, struct arrival arrival)
{
	arrival.side = to->side;
	struct arrival_message *message = fwd_arrival_message_new(&arrival, NULL);

	if (!message)
		return false;
	fwd_arrival_count(&arrival);
	base_mailbox_post(to->worker->mailbox, &message->mail);
	return true;
}

bool fwd_arrival_send(const struct endpoint_share *share, const struct arrival *arrival)
{
	struct arrival_message *message = fwd_arrival_message_new(arrival, share);

	if (!message)
		return false;
	fwd_tally_promise(share->worker->forwarder);
	base_mailbox_post(share->worker->mailbox, &message->mail);
	return true;
}

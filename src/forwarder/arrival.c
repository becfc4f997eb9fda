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

struct arrival arrival_now(const struct endpoint_share *share, int fd, const struct addr *client)
{
	return (struct arrival){ .fd = fd,
				 .client = *client,
				 .endpoint = share->endpoint,
				 .side = share->side,
				 .accepted_us = clock_now_us() };
}

bool arrival_admit(const struct endpoint_share *share, const struct arrival *arrival)
{
	int fd = arrival->fd;

	if (admission_take(share->side->route, &share->side->state))
		return true;
	admission_refuse(share, &arrival->client);
	socket_reset(&fd);
	return false;
}

/* admission_take() has counted the rest. */
void arrival_count(const struct arrival *arrival)
{
	fwd_endpoint_reference(arrival->endpoint);
	tally_arrive(arrival->side);
}

/* ---- Messages ---- */

static bool arrival_admit_unasked(const struct endpoint_share *share, const struct arrival *arrival)
{
	tally_unpromise(share->worker->forwarder);
	if (!arrival_admit(share, arrival))
		return false;
	arrival_count(arrival);
	return true;
}

static void arrival_on_message(struct mail *mail)
{
	struct arrival_message *message = container_of(mail, struct arrival_message, mail);
	struct arrival arrival = message->arrival;
	const struct endpoint_share *unasked = message->unasked;

	free(message);
	tally_deliver(arrival.side);
	if (!unasked || arrival_admit_unasked(unasked, &arrival))
		life_begin(arrival.side->worker, &arrival);
	else
		route_side_check_empty(arrival.side);
}

/* Counted as coming; mailbox_post() is owed. NULL for lack of memory. */
static struct arrival_message *arrival_message_new(const struct arrival *arrival, const struct endpoint_share *unasked)
{
	struct arrival_message *message = malloc(sizeof(*message));

	if (!message)
		return NULL;
	*message =
	    (struct arrival_message){ .mail.deliver = arrival_on_message, .arrival = *arrival, .unasked = unasked };
	tally_send(arrival->side);
	return message;
}

bool arrival_hand_over(const struct endpoint_share *to, struct arrival arrival)
{
	arrival.side = to->side;
	struct arrival_message *message = arrival_message_new(&arrival, NULL);

	if (!message)
		return false;
	arrival_count(&arrival);
	mailbox_post(to->worker->mailbox, &message->mail);
	return true;
}

bool arrival_send(const struct endpoint_share *share, const struct arrival *arrival)
{
	struct arrival_message *message = arrival_message_new(arrival, share);

	if (!message)
		return false;
	tally_promise(share->worker->forwarder);
	mailbox_post(share->worker->mailbox, &message->mail);
	return true;
}

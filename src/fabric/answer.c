/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Answers that are known at once, told by a letter to ourselves: a completion never comes before the call that asked returned. */
#include "fabric/state.h"

#include <stddef.h>
#include <stdlib.h>

struct fabric_answer {
	struct job job;
	fabric_slot_done *slot_done;
	fabric_done *done;
	void *context;
	struct err err;
	bool failed;
};

static void finish_reply(struct job *job)
{
	struct fabric_answer *reply = (struct fabric_answer *)job;
	const struct err *err = reply->failed ? &reply->err : NULL;

	if (reply->slot_done)
		reply->slot_done(reply->context, NULL, err);
	else if (reply->done)
		reply->done(reply->context, err);
	free(reply);
}

static void deliver_reply(struct mail *mail)
{
	finish_reply((struct job *)((char *)mail - offsetof(struct job, mail)));
}

static void post_reply(struct fabric *fabric, const struct fabric_answer *form)
{
	struct fabric_answer *reply = malloc(sizeof(*reply));

	/* Nothing to tell it with: whoever waits would wait for ever, and the next allocation fails as well. */
	if (!reply)
		abort();
	*reply = *form;
	reply->job.mail.deliver = deliver_reply;
	mailbox_post(fabric->mailbox, &reply->job.mail);
}

void fabric_reply_slot(struct fabric *fabric, fabric_slot_done *done, void *context, const struct err *err)
{
	post_reply(fabric,
		   &(struct fabric_answer){ .slot_done = done, .context = context, .err = *err, .failed = true });
}

void fabric_reply(struct fabric *fabric, fabric_done *done, void *context, const struct err *err)
{
	struct fabric_answer form = { .done = done, .context = context, .failed = err != NULL };

	if (err)
		form.err = *err;
	post_reply(fabric, &form);
}

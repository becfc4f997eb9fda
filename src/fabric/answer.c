/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A completion never comes before the call that asked has returned, so an early answer is a message to ourselves. */
#include "fabric/answer.h"

#include "base/container_of.h"
#include "base/err.h"
#include "base/loop.h"
#include "fabric/state.h"

#include <stdlib.h>

struct fabric_answer {
	struct mail mail;
	fabric_slot_done *slot_done;
	fabric_done *done;
	void *context;
	struct err err;
	bool failed;
};

static void fabric_deliver_answer(struct mail *mail)
{
	struct fabric_answer *answer = container_of(mail, struct fabric_answer, mail);
	const struct err *err = answer->failed ? &answer->err : NULL;

	if (answer->slot_done)
		answer->slot_done(answer->context, NULL, err);
	else if (answer->done)
		answer->done(answer->context, err);
	free(answer);
}

static void fabric_post_answer(struct fabric *fabric, const struct fabric_answer *form)
{
	struct fabric_answer *answer = malloc(sizeof(*answer));

	/* Without it the caller would wait for ever. */
	if (!answer)
		abort();
	*answer = *form;
	answer->mail.deliver = fabric_deliver_answer;
	base_mailbox_post(fabric->mailbox, &answer->mail);
}

void fabric_answer_slot(struct fabric *fabric, fabric_slot_done *done, void *context, const struct err *err)
{
	fabric_post_answer(
	    fabric, &(struct fabric_answer){ .slot_done = done, .context = context, .err = *err, .failed = true });
}

void fabric_answer(struct fabric *fabric, fabric_done *done, void *context, const struct err *err)
{
	struct fabric_answer form = { .done = done, .context = context, .failed = err != NULL };

	if (err)
		form.err = *err;
	fabric_post_answer(fabric, &form);
}

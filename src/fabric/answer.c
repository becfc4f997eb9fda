/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A completion never comes before the call that asked has returned, so an early answer is a message to ourselves.
 *
 * Where there is no memory for the message, the answer goes into a reserve that was made at the start, and loses its text but not its
 * code. A caller asks for one change of a slot at a time, and for few things besides, so that the reserve has room for all of them;
 * should it not, the oldest answer is called at once.
 */
#include "fabric/answer.h"

#include "base/container_of.h"
#include "base/err.h"
#include "base/loop.h"
#include "fabric/state.h"

#include <errno.h>
#include <stdlib.h>

enum { RESERVE = 2 * CONFIG_SLOT_MAX };

/* One completion: which of the functions it is, and for whom. */
struct answer_call {
	fabric_slot_done *slot_done;
	fabric_reach_done *reached;
	fabric_counts_done *counted;
	fabric_done *done;
	void *context;
};

struct fabric_answer {
	struct mail mail;
	struct answer_call call;
	struct err err;
	bool failed;
};

/* An answer of the reserve; pages of it are used only when they are needed. */
struct answer_kept {
	struct answer_call call;
	int code;
	bool failed;
};

struct answers {
	struct mail mail;
	struct fabric *fabric;
	struct answer_kept *kept; /* RESERVE places, a ring */
	size_t first, count;
	bool posted; /* MAIL is in the mailbox */
};

static void fabric_answer_call(const struct answer_call *call, const struct err *err)
{
	if (call->slot_done)
		call->slot_done(call->context, NULL, err);
	else if (call->reached)
		call->reached(call->context, NULL, err);
	else if (call->counted)
		call->counted(call->context, NULL, 0, err);
	else if (call->done)
		call->done(call->context, err);
}

/* ---- the reserve ---- */

static void fabric_answers_call_oldest(struct answers *answers)
{
	struct answer_kept kept = answers->kept[answers->first];
	struct err err;

	answers->first = (answers->first + 1) % RESERVE;
	answers->count--;
	if (kept.failed)
		err_set(&err, kept.code, "not begun");
	fabric_answer_call(&kept.call, kept.failed ? &err : NULL);
}

static void fabric_answers_deliver(struct mail *mail)
{
	struct answers *answers = container_of(mail, struct answers, mail);

	answers->posted = false;
	/* Those that are added meanwhile post the message again. */
	for (size_t left = answers->count; left && answers->count; left--)
		fabric_answers_call_oldest(answers);
}

static void fabric_answers_keep(struct answers *answers, const struct answer_call *call, const struct err *err)
{
	if (answers->count == RESERVE)
		fabric_answers_call_oldest(answers);
	answers->kept[(answers->first + answers->count++) % RESERVE] =
	    (struct answer_kept){ .call = *call, .code = err ? err->code : 0, .failed = err != NULL };
	if (answers->posted)
		return;
	answers->posted = true;
	base_mailbox_post(answers->fabric->mailbox, &answers->mail);
}

struct answers *fabric_answers_new(struct fabric *fabric, struct err *err)
{
	struct answers *answers = calloc(1, sizeof(*answers));

	if (answers)
		answers->kept = calloc(RESERVE, sizeof(*answers->kept));
	if (!answers || !answers->kept) {
		free(answers);
		err_set(err, ENOMEM, "answers");
		return NULL;
	}
	answers->fabric = fabric;
	answers->mail.deliver = fabric_answers_deliver;
	return answers;
}

void fabric_answers_free(struct answers *answers)
{
	if (!answers)
		return;
	free(answers->kept);
	free(answers);
}

/* ---- answering ---- */

static void fabric_answer_deliver(struct mail *mail)
{
	struct fabric_answer *answer = container_of(mail, struct fabric_answer, mail);

	fabric_answer_call(&answer->call, answer->failed ? &answer->err : NULL);
	free(answer);
}

static void fabric_answer_post(struct fabric *fabric, const struct answer_call *call, const struct err *err)
{
	struct fabric_answer *answer = malloc(sizeof(*answer));

	if (!answer) {
		fabric_answers_keep(fabric->answers, call, err);
		return;
	}
	answer->mail.deliver = fabric_answer_deliver;
	answer->call = *call;
	answer->failed = err != NULL;
	if (err)
		answer->err = *err;
	base_mailbox_post(fabric->mailbox, &answer->mail);
}

void fabric_answer_slot(struct fabric *fabric, fabric_slot_done *done, void *context, const struct err *err)
{
	fabric_answer_post(fabric, &(struct answer_call){ .slot_done = done, .context = context }, err);
}

void fabric_answer_reach(struct fabric *fabric, fabric_reach_done *done, void *context, const struct err *err)
{
	fabric_answer_post(fabric, &(struct answer_call){ .reached = done, .context = context }, err);
}

void fabric_answer_counts(struct fabric *fabric, fabric_counts_done *done, void *context, const struct err *err)
{
	fabric_answer_post(fabric, &(struct answer_call){ .counted = done, .context = context }, err);
}

void fabric_answer(struct fabric *fabric, fabric_done *done, void *context, const struct err *err)
{
	fabric_answer_post(fabric, &(struct answer_call){ .done = done, .context = context }, err);
}

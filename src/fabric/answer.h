/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_ANSWER_H
#define WEFT_FABRIC_ANSWER_H

/*
 * Completions that are known at once, but are called after the caller has returned. They need no memory, so that a caller is refused
 * for lack of memory by them, too. Main thread.
 */

#include "fabric/fabric.h"

struct answers;
struct err;

/* The room for answers that find no memory; NULL with ERR. */
struct answers *fabric_answers_new(struct fabric *fabric, struct err *err);

/* After the mailbox, which delivers the answers that are left. NULL is fine. */
void fabric_answers_free(struct answers *answers);

/* Calls DONE with a failure, of which ERR is copied. Never fails. */
void fabric_answer_slot(struct fabric *fabric, fabric_slot_done *done, void *context, const struct err *err);
void fabric_answer_reach(struct fabric *fabric, fabric_reach_done *done, void *context, const struct err *err);
void fabric_answer_counts(struct fabric *fabric, fabric_counts_done *done, void *context, const struct err *err);

/* Calls DONE with a copy of ERR, or for ERR NULL with success. DONE may be NULL. Never fails. */
void fabric_answer(struct fabric *fabric, fabric_done *done, void *context, const struct err *err);

#endif

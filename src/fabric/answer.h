/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_ANSWER_H
#define WEFT_FABRIC_ANSWER_H

/* Completions that are known at once, but are called after the caller has returned. Main thread. */

#include "fabric/fabric.h"

struct err;

/* Calls DONE with a failure, of which ERR is copied. Never fails. */
void fabric_answer_slot(struct fabric *fabric, fabric_slot_done *done, void *context, const struct err *err);

/* Calls DONE with a copy of ERR, or for ERR NULL with success. DONE may be NULL. Never fails. */
void fabric_answer(struct fabric *fabric, fabric_done *done, void *context, const struct err *err);

#endif

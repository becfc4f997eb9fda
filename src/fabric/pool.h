/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_POOL_H
#define WEFT_FABRIC_POOL_H

/*
 * The slots that are prepared ahead. The pool follows the slots' moves: it lists those that become ready, and prepares others as
 * long as there are fewer than the configuration wants. Main thread.
 */

#include <stdbool.h>

struct err;
struct fabric;
struct plan_share;
struct pool;

/* Prepares nothing before fabric_pool_open(). NULL with ERR. */
struct pool *fabric_pool_new(struct fabric *fabric, struct err *err);

/* NULL is fine. */
void fabric_pool_free(struct pool *pool);

/* Slots may be prepared from now on: the slots that a former run left are known. */
void fabric_pool_open(struct pool *pool);

/* Whether it has room for one more slot. */
bool fabric_pool_wants(const struct pool *pool);

/* The same for a slot that has to be renewed first: a few at a time. */
bool fabric_pool_wants_renewed(const struct pool *pool);

/* A shortage is over: a slot is prepared ahead of its time, but for a few times in one pause at most. */
void fabric_pool_hurry(struct pool *pool);

/* A plan that prepares NUMBER for the pool; the caller holds it. NULL only for lack of memory. */
struct plan_share *fabric_pool_plan(const struct fabric *fabric, unsigned number);

#endif

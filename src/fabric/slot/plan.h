/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_SLOT_PLAN_H
#define WEFT_FABRIC_SLOT_PLAN_H

/* Plans of our own: what a caller's plan points to is only valid during its call. Plain data, no locks. */

#include "fabric/fabric.h"

#include <stdbool.h>

/* A deep copy, for plan_free(). NULL only for lack of memory. */
struct fabric_plan *plan_copy(const struct fabric_plan *plan);
void plan_free(struct fabric_plan *plan);

/* Whether both ask for the same egress policy, rule by rule. */
bool plan_same_egress(const struct fabric_plan *a, const struct fabric_plan *b);
bool plan_same_rate(const struct rate *a, const struct rate *b);
bool plan_same_bandwidth(const struct bandwidth *a, const struct bandwidth *b);
bool plan_same_owner(const struct fabric_plan *a, const struct fabric_plan *b);

#endif

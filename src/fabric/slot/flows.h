/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_SLOT_FLOWS_H
#define WEFT_FABRIC_SLOT_FLOWS_H

/*
 * Flows that were begun, or went on, while a table was missing. Each call forgets those that the table, which is there again, would have
 * translated; all others go on. 0, or -1 with ERR. Any thread.
 */

#include <stddef.h>

struct config;
struct err;
struct fabric_nat;
struct fabric_plan;

/* Those of PLAN's slot, in its namespace. */
int slot_flows_renew_inside(int netns_fd, const struct config *config, const struct fabric_plan *plan, struct err *err);

/* Those of all sandboxes on the host: from a sandbox to the outside, also past a proxy that [egress] redirect has got since. */
int slot_flows_renew_outside(const struct config *config, struct err *err);

/* Those on the host to the published ports NAT. */
int slot_flows_renew_published(const struct fabric_nat *nat, size_t count, struct err *err);

#endif

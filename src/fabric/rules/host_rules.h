/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_RULES_HOST_RULES_H
#define WEFT_FABRIC_RULES_HOST_RULES_H

/*
 * The host's table, and those of its sets that its rules fill: the packets dropped or denied of each sandbox, by the number of
 * the link that they came in by. Private to fabric/rules/.
 */

#include "fabric/rules/slot_rules.h"

struct config;

enum {
	RULES_HOST_DROPS_KEPT_MS = 24 * 3600 * 1000,
	RULES_HOST_DENIALS_MAX = 1024, /* of all sandboxes together */
};

/* Adds the whole of the host's table for CONFIG, with no published ports. */
void rules_host_add_table(struct nft_batch *batch, const struct config *config);

extern const struct nft_set set_sandbox_drops;
extern const struct nft_set set_denied_host_ports, set_denied_host_protocols;

#endif

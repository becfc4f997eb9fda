/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_RULES_HOST_RULES_H
#define WEFT_FABRIC_RULES_HOST_RULES_H

/*
 * Sets of the host's table that its rules fill: what it dropped or denied of each sandbox, by the number of the link that the
 * packets came in by. Private to fabric/.
 */

#include "fabric/rules/slot_rules.h"

struct config;

enum {
	RULES_HOST_DROPS_KEPT_MS = 24 * 3600 * 1000,
	RULES_HOST_DENIALS_MAX = 1024, /* of all sandboxes */
};

/* Adds the whole of the host's table, as CONFIG wants it; nothing is published yet. */
void rules_host_add_table(struct nft_batch *batch, const struct config *config);

extern const struct nft_set set_sandbox_drops;
extern const struct nft_set set_denied_host_ports, set_denied_host_protocols;

#endif

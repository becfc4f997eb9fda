/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_INSPECT_RULESET_SET_H
#define WEFT_INSPECT_RULESET_SET_H

/*
 * Small nftables sets and verdict maps that rules look into. Private to the reader of rulesets.
 */

#include "inspect/ruleset.h"

enum { RULESET_ELEMENTS_MAX = 32 };

struct ruleset_element {
	uint8_t key[16];
	uint8_t length;
	enum ruleset_verdict verdict; /* of a map */
	char target[RULESET_NAME_SIZE];
};

/* The verdict with the kernel's NUMBER (NF_ACCEPT, NFT_JUMP, ...); VERDICT_NONE for "go on". */
enum ruleset_verdict inspect_ruleset_verdict_of(int number);

/*
 * Reads all elements of SET on a socket of its own. False, with ELEMENTS void: there are too many, some are intervals or have
 * longer keys, or they cannot be read.
 */
bool inspect_ruleset_read_set(uint32_t family, const char *table, const char *set,
			      struct ruleset_element elements[static RULESET_ELEMENTS_MAX], size_t *count);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_RULES_ELEMENTS_H
#define WEFT_FABRIC_RULES_ELEMENTS_H

#include "base/vec.h"
#include "nft/table.h"

struct rules_elements {
	VEC_OF(struct nft_element);
};

/*
 * Replaces elements of networks and ranges of ports by others that do not overlap and mean the same. Any two networks are disjoint, or
 * one contains the other. 0, or -1: the list is as it was, and errno is ENOMEM, or E2BIG if there would be more than MAX.
 */
int rules_elements_separate(struct rules_elements *list, size_t max);

#endif

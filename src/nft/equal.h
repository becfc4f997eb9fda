/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_NFT_EQUAL_H
#define WEFT_NFT_EQUAL_H

/*
 * Whether the kernel has a thing as a batch asks for it. WANTED is the batch's message; FOUND is the message of a dump about
 * the thing of the same kind and name. Pure; any thread.
 */

#include "nft/batch.h"

/* Compares two tables, chains, rules, sets or counters, except names, comments, handles and counted values. */
bool nft_equal(const struct nlmsghdr *wanted, const struct nlmsghdr *found);

/* Compares the expressions of two rules, one by one and attribute by attribute. */
bool nft_equal_rules(const struct nlmsghdr *wanted, const struct nlmsghdr *found);

#endif

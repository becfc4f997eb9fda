/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_NFT_EQUAL_H
#define WEFT_NFT_EQUAL_H

/*
 * Whether the kernel has one thing as a batch asks for it. WANTED: a message of a batch; FOUND: the kernel's message, from a dump,
 * of the thing of the same kind and name. Pure; any thread.
 */

#include "nft/batch.h"

/* Compares tables, chains, rules, sets and counters: everything but names, comments, handles and counted values. */
bool nft_equal(const struct nlmsghdr *wanted, const struct nlmsghdr *found);

/* The same of two rules: whether their expressions are equal, one by one and attribute by attribute. */
bool nft_equal_rules(const struct nlmsghdr *wanted, const struct nlmsghdr *found);

#endif

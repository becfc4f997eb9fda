/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_NFT_CHECK_H
#define WEFT_NFT_CHECK_H

/*
 * Whether the kernel has what a batch would make.
 */

#include "nft/batch.h"

struct err;

/*
 * Compares the tables that WANTED makes from nothing (it only adds) with those of the same families in the namespace of
 * NETNS_FD: flags, chains, rules in their order, sets, elements, counters by name. FILLED names sets, and ends with NULL: their
 * elements are not compared, nor are chains of such names. Returns 0 with *INTACT, or -1 with ERR. Any thread.
 */
int nft_check(int netns_fd, const struct nft_batch *wanted, const char *const *filled, bool *intact, struct err *err);

/* Does the same for sets and their elements alone. Sets that FILLED names may be missing as well. */
int nft_check_contents(int netns_fd, const struct nft_batch *wanted, const char *const *filled, bool *intact,
		       struct err *err);

#endif

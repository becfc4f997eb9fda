/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_NFT_READ_H
#define WEFT_NFT_READ_H

/*
 * Looking at what is in a table. Each call is one dump on a socket of its own. Private to fabric/.
 */

#include "nft/table.h"

struct err;

struct nft_read_element {
	struct nft_element element;
	uint32_t mark;
	bool ends;             /* says only where an interval is over */
	uint64_t remaining_ms; /* of an element that times out */
};

/*
 * Hands all elements of SET to EACH. 0, or -1 with ERR: ENOENT where there is no such set, EINTR where it changed meanwhile (ask
 * again, forget what was told).
 */
int nft_read_elements(int netns_fd, uint8_t family, const struct nft_set *set,
		      void (*each)(void *context, const struct nft_read_element *read), void *context, struct err *err);

/* Hands all named counters of our tables, of all families, to EACH. 0, or -1 with ERR, as nft_read_elements(). */
int nft_read_counters(int netns_fd, void (*each)(void *context, const char *name, uint64_t packets, uint64_t bytes),
		      void *context, struct err *err);

/* Whether the table of ours is there; false with ERR. FD: nft_socket(). */
bool nft_read_has_table(int fd, uint8_t family, struct err *err);

struct nft_range {
	uint32_t first, last; /* addresses; equal where the set has no intervals, or the key no address */
	uint64_t packets;     /* of a set that counts */
};

/*
 * Has the kernel look up WANTED (`first`, `proto`, `port`) in SET. 1: there, *RANGE is what it is within; 0: not there, or no such
 * set; -1 with ERR.
 */
int nft_read_find(int fd, uint8_t family, const struct nft_set *set, const struct nft_element *wanted,
		  struct nft_range *range, struct err *err);

#endif

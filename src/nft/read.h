/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_NFT_READ_H
#define WEFT_NFT_READ_H

/*
 * Reads the contents of a table. Each call is one dump, or one request, on a socket.
 */

#include "nft/table.h"

struct err;

struct nft_read_element {
	struct nft_element element;
	uint32_t mark;
	bool ends;             /* marks only the end of an interval */
	uint64_t remaining_ms; /* of an element that times out */
};

/*
 * Passes all elements of SET to EACH. Returns 0, or -1 with ERR. ENOENT: there is no such set. EINTR: the set changed
 * meanwhile; discard the elements and ask again.
 */
int nft_read_elements(int netns_fd, uint8_t family, const struct nft_set *set,
		      void (*each)(void *context, const struct nft_read_element *read), void *context, struct err *err);

/* Passes all named counters of our tables, of all families, to EACH. 0, or -1 with ERR, as nft_read_elements(). */
int nft_read_counters(int netns_fd, void (*each)(void *context, const char *name, uint64_t packets, uint64_t bytes),
		      void *context, struct err *err);

/* Reads the packets of one named counter of our table. 0, or -1 with ERR. ENOENT: there is no such counter. */
int nft_read_counter(int netns_fd, uint8_t family, const char *name, uint64_t *packets, struct err *err);

/* Whether our table exists; false with ERR. FD: from nft_socket(). */
bool nft_read_has_table(int fd, uint8_t family, struct err *err);

/* Passes all tables of the namespace of NETNS_FD, of all families (NFPROTO_*), to EACH. 0, or -1 with ERR; EINTR: ask again. */
int nft_read_tables(int netns_fd, void (*each)(void *context, uint8_t family, const char *name), void *context,
		    struct err *err);

struct nft_range {
	uint32_t first, last; /* addresses; equal where the set has no intervals, or the key no address */
	uint64_t packets;     /* of a set that counts */
};

/*
 * Has the kernel look up WANTED (`first`, `proto`, `port`) in SET. Returns 1 with the element that holds it in *RANGE; 0 if SET
 * has no such element, or does not exist; -1 with ERR.
 */
int nft_read_find(int fd, uint8_t family, const struct nft_set *set, const struct nft_element *wanted,
		  struct nft_range *range, struct err *err);

#endif

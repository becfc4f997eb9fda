/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_NFT_TEXT_H
#define WEFT_NFT_TEXT_H

/*
 * Messages of nftables, those of a batch as those of a dump, written down as lines that can be compared. Private to
 * nft_check.c. Any thread; a struct nft_text is one thread's.
 */

#include "nft/batch.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NFT_TEXT_KINDS = 6, NFT_TEXT_CHAINS = 32, NFT_TEXT_SETS = 32 };

struct nft_line {
	uint64_t hash; /* of the text: lines are sorted by it */
	char *text;
	bool borrowed; /* from the memory */
};

struct nft_memory;

struct nft_text {
	const char *const *filled; /* see nft_check() */
	bool families[256];        /* those written down */
	bool broken;               /* no memory */
	bool excess;               /* more chains or sets than there is room for: not what we made */
	struct nft_line *lines;
	size_t count, room;

	struct {
		unsigned family;
		char name[64];
	} sets[NFT_TEXT_SETS]; /* those seen */
	size_t set_count;

	/* How many rules of each chain came so far. */
	struct {
		unsigned family, rules;
		char name[64];
	} chains[NFT_TEXT_CHAINS];
	size_t chain_count;

	struct nft_memory *memory;     /* NULL: none */
	size_t places[NFT_TEXT_KINDS]; /* messages of each kind so far */
};

/*
 * What was written down last, by kind and place: slots are so much alike that most messages of the next one are the same, byte
 * for byte, and then nothing has to be decoded. NULL for lack of memory, which does no harm.
 */
struct nft_memory *nft_memory_new(void);
void nft_memory_free(struct nft_memory *memory); /* NULL is fine */

/* Writes one message down; others than those that make tables are skipped. */
void nft_text_write(struct nft_text *text, const struct nlmsghdr *message);

/* Whether the chain or set NAME is not written down. */
bool nft_text_skips(const struct nft_text *text, const char *name);

/* Forgets all lines, sets and chains. */
void nft_text_clear(struct nft_text *text);

/* Sorts both and compares; the first difference goes to the log of who wants to know. */
bool nft_text_equal(struct nft_text *should, struct nft_text *is);

#endif

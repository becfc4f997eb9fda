/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_NFT_PART_H
#define WEFT_NFT_PART_H

/*
 * The building blocks of match.c, match_flow.c and action.c, which make of them the words of expr.h. No other file includes this.
 */

#include "nft/expr.h"

/* One expression of the open rule: begin, attributes, end. */
struct nft_part {
	struct nlattr *item, *data;
};

struct nft_part nft_part_begin(struct nft_batch *batch, const char *name);
void nft_part_end(struct nft_batch *batch, struct nft_part part);

/* Attributes; numbers in host order. */
void nft_part_u32(struct nft_batch *batch, uint16_t type, uint32_t value);
void nft_part_u64(struct nft_batch *batch, uint16_t type, uint64_t value);
void nft_part_limit(struct nft_batch *batch, uint32_t type, uint64_t per_second, uint32_t burst, uint32_t flags);
void nft_part_value(struct nft_batch *batch, uint16_t type, const void *value, size_t size);

/* Load into register TO. */
void nft_load_meta(struct nft_batch *batch, uint32_t key, uint32_t to);
void nft_load_payload(struct nft_batch *batch, uint32_t base, uint32_t offset, uint32_t length, uint32_t to);
void nft_load_ct(struct nft_batch *batch, uint32_t key, int direction); /* into register 1; IP_CT_DIR_*, or -1 */

/* Work on register 1. */
void nft_load_immediate(struct nft_batch *batch, const void *value, size_t size);
void nft_compare(struct nft_batch *batch, uint32_t how, const void *value, size_t size);
void nft_swap_to_big_endian(struct nft_batch *batch,
			    uint32_t size); /* a number of so many bytes, from the machine's order */
void nft_mask(struct nft_batch *batch, const void *bits, uint32_t size);
void nft_mask_and_set(struct nft_batch *batch, const void *bits, const void *set,
		      uint32_t size); /* SET within no BITS */

/*
 * Loads the fields of KEY into register 1 and up. The address is at OFFSET of the network header; the port is the
 * destination's.
 */
enum { NFT_IP_SOURCE = 12, NFT_IP_DESTINATION = 16 };
void nft_load_key(struct nft_batch *batch, unsigned key, uint32_t offset);

/* Looks what nft_load_key() loaded up in SET; that of a map goes to register 1. */
void nft_look_up(struct nft_batch *batch, enum nft_sense sense, const struct nft_set *set);

/* States the protocol that the rule relies on, unless the rule has done so. */
void nft_state_ether(struct nft_batch *batch);
void nft_state_ipv4(struct nft_batch *batch);
void nft_state_arp(struct nft_batch *batch);
void nft_state_tcp(struct nft_batch *batch);
/* Notes that the rule has stated it in another way. */
void nft_stated_ipv4(struct nft_batch *batch);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_NFT_TABLE_H
#define WEFT_NFT_TABLE_H

/*
 * What a table is made of, but for its rules (nft_expr.h): each function adds one message to a batch, for the table NFT_TABLE_NAME
 * of the batch's family. Sets say what type their keys are and how they are ordered, as nft(8) does, so that it can list them.
 * Addresses and ports are in host order throughout. Private to fabric/.
 */

#include "base/addr.h"
#include "nft/batch.h"

/* FLAGS: NLM_F_EXCL refuses a table that exists; otherwise it is left as it is. */
void nft_table_add(struct nft_batch *batch, int flags);
void nft_table_delete(struct nft_batch *batch);

enum nft_chain_type {
	NFT_CHAIN_FILTER,
	NFT_CHAIN_NAT,
};

struct nft_hook {
	enum nft_chain_type type;
	unsigned hook; /* NF_INET_* or NF_NETDEV_* */
	int priority;
	bool drops;         /* the policy */
	const char *device; /* of an ingress hook; NULL */
};

/* HOOK is NULL for a chain that is only jumped to. COMMENT may be NULL. */
void nft_chain_add(struct nft_batch *batch, const char *name, const struct nft_hook *hook, const char *comment);
void nft_chain_delete(struct nft_batch *batch, const char *name);
void nft_chain_flush(struct nft_batch *batch, const char *name);

/* PACKETS, BYTES: where it begins. */
void nft_counter_add(struct nft_batch *batch, const char *name, uint64_t packets, uint64_t bytes);

/* What a set's key is made of, in this order. */
enum nft_key {
	NFT_KEY_ADDRESS = 1, /* ipv4_addr */
	NFT_KEY_PROTO = 2,   /* inet_proto */
	NFT_KEY_PORT = 4,    /* inet_service */
	NFT_KEY_MARK = 8,    /* mark */
	NFT_KEY_LINK = 16,   /* iface_index; before the address */
};

struct nft_set {
	const char *name;
	unsigned key;        /* nft_key, added together */
	bool interval;       /* of addresses */
	unsigned timeout_ms; /* not 0: filled by rules, bounded by SIZE */
	unsigned size;
	bool map;   /* to address and port */
	bool count; /* each element counts packets */
	/* ... or says whether there were more packets than so many a second; 0: does not */
	unsigned packets_a_second;
};

void nft_set_add(struct nft_batch *batch, const struct nft_set *set);
void nft_set_delete(struct nft_batch *batch, const char *name);

/* One element: what the set's key does not have is left 0. FIRST is LAST but in an interval. */
struct nft_element {
	int link;
	uint32_t first, last;
	uint8_t proto; /* IPPROTO_* */
	uint16_t port;
	/* Of a map. */
	uint32_t to_address;
	uint16_t to_port;
};

/* Adds elements to SET, in as many messages as it takes. Those of an interval set must not overlap. */
void nft_elements_add(struct nft_batch *batch, const struct nft_set *set, const struct nft_element *elements,
		      size_t count);
void nft_elements_delete(struct nft_batch *batch, const struct nft_set *set, const struct nft_element *elements,
			 size_t count);

/* The key of ELEMENT as the kernel has it, into KEY. Returns its length in bytes. */
enum { NFT_KEY_MAX = 16 };
size_t nft_key_encode(unsigned key, const struct nft_element *element, uint32_t address,
		      uint8_t data[static NFT_KEY_MAX]);

/* The way back, into ELEMENT's `first`, `proto`, `port`, and *MARK where the key has one. False: too short. */
bool nft_key_decode(unsigned key, const uint8_t *data, size_t size, struct nft_element *element, uint32_t *mark);

/*
 * Sorts elements and takes out those within others of the same protocol and port, in place: what an interval set accepts. The
 * intervals must be networks, which are either apart or one within the other. Returns how many remain.
 */
size_t nft_elements_merge(struct nft_element *elements, size_t count);

#endif

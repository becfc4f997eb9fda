/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_NFT_TABLE_H
#define WEFT_NFT_TABLE_H

/*
 * The parts of a table, except its rules (expr.h). Each function adds one message to a batch, about the table NFT_TABLE_NAME of
 * the batch's family. Sets state the type and byte order of their keys, as nft(8) does, so that it can list them. Addresses and
 * ports are in host order throughout.
 */

#include "base/addr.h"
#include "nft/batch.h"

/* FLAGS: NLM_F_EXCL refuses a table that exists; without it such a table stays as it is. */
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
	bool drops;         /* its policy is to drop */
	const char *device; /* of an ingress hook; NULL */
};

/* HOOK is NULL for a chain that is only jumped to. COMMENT may be NULL. */
void nft_chain_add(struct nft_batch *batch, const char *name, const struct nft_hook *hook, const char *comment);
void nft_chain_delete(struct nft_batch *batch, const char *name);
void nft_chain_flush(struct nft_batch *batch, const char *name);

/* The counter starts at PACKETS and BYTES. */
void nft_counter_add(struct nft_batch *batch, const char *name, uint64_t packets, uint64_t bytes);

/* The fields of a set's key, in this order. */
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
	unsigned timeout_ms; /* not 0: rules fill the set, up to SIZE elements */
	unsigned size;
	bool map;   /* to address and port */
	bool count; /* each element counts packets */
	/* Not 0: each element limits to so many packets a second, instead. */
	unsigned packets_a_second;
};

void nft_set_add(struct nft_batch *batch, const struct nft_set *set);
void nft_set_delete(struct nft_batch *batch, const char *name);

/*
 * One element. Fields that the set's key lacks stay 0. LAST differs from FIRST in an interval only, and PORT_LAST, 0 for a single
 * port, in one of addresses and ports.
 */
struct nft_element {
	int link;
	uint32_t first, last;
	uint8_t proto; /* IPPROTO_* */
	uint16_t port, port_last;
	/* Of a map. */
	uint32_t to_address;
	uint16_t to_port;
};

/* Adds elements to SET, in as many messages as needed. The elements of an interval set must not overlap. */
void nft_elements_add(struct nft_batch *batch, const struct nft_set *set, const struct nft_element *elements,
		      size_t count);
void nft_elements_delete(struct nft_batch *batch, const struct nft_set *set, const struct nft_element *elements,
			 size_t count);

/* Encodes the key of ELEMENT, with ADDRESS, as the kernel has it. Returns its length in bytes. */
enum { NFT_KEY_MAX = 16 };
size_t nft_key_encode(unsigned key, const struct nft_element *element, uint32_t address,
		      uint8_t data[static NFT_KEY_MAX]);

/*
 * Decodes a key into ELEMENT's `first`, `last`, `proto`, `port` and `link`, and *MARK if the key has one. False: DATA is too
 * short.
 */
bool nft_key_decode(unsigned key, const uint8_t *data, size_t size, struct nft_element *element, uint32_t *mark);

/*
 * Sorts elements in place and removes each that lies within another of the same protocol and port, since an interval set
 * refuses overlaps. The intervals must be networks: any two are disjoint, or one contains the other. Returns the number left.
 */
size_t nft_elements_merge(struct nft_element *elements, size_t count);

#endif

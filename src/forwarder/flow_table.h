/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_FLOW_TABLE_H
#define WEFT_FORWARDER_FLOW_TABLE_H

/*
 * A hash table of objects that hold their node: for keys that strangers choose, so the hash is keyed. It grows with its contents,
 * a bucket at a time, and never shrinks. One thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct addr;
struct err;

/* The key of the hash. */
struct flow_seed {
	uint64_t words[2];
};

/* Inside the object. */
struct flow_node {
	struct flow_node *next; /* in its bucket */
	uint64_t hash;
};

/* Zeroed: empty. */
struct flow_table {
	struct flow_node **buckets;
	size_t room;         /* for buckets: a power of two */
	size_t bucket_count; /* in use */
	size_t count;        /* of nodes */
};

/* A random SEED. 0, or -1 with ERR. Any thread. */
int fwd_flow_seed(struct flow_seed *seed, struct err *err);

/* SipHash-2-4 of ADDR, of its port too where WITH_PORT. Any thread. */
uint64_t fwd_flow_hash(const struct flow_seed *seed, const struct addr *addr, bool with_port);

/* The first node that may have HASH; the others follow by `next`. NULL: none. */
struct flow_node *fwd_flow_table_first(const struct flow_table *table, uint64_t hash);

/* Adds NODE with HASH. 0, or -1 for lack of memory. */
int fwd_flow_table_add(struct flow_table *table, struct flow_node *node, uint64_t hash);

/* Takes NODE, which is in it, out. */
void fwd_flow_table_remove(struct flow_table *table, struct flow_node *node);

/* Frees its memory; the nodes are the caller's. */
void fwd_flow_table_clear(struct flow_table *table);

#endif

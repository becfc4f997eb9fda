/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Linear hashing: with each node beyond one a bucket the table gets one bucket more, and the nodes of one older bucket are divided
 * between the two. So no datagram waits for a whole table to be moved.
 *
 * The buckets are divided in turn. A hash belongs to the bucket that as many of its bits name as lead to one that exists.
 */
#include "forwarder/flow_table.h"

#include "base/addr.h"
#include "base/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { ROOM_MIN = 16 };

/* ---- The hash ---- */

int fwd_flow_seed(struct flow_seed *seed, struct err *err)
{
	ssize_t got = getrandom(seed->words, sizeof(seed->words), 0);

	return got == sizeof(seed->words) ? 0 : err_set(err, got < 0 ? errno : EIO, "getrandom");
}

struct sip {
	uint64_t a, b, c, d;
};

static uint64_t fwd_flow_rotate(uint64_t word, unsigned by)
{
	return word << by | word >> (64 - by);
}

static void fwd_flow_mix(struct sip *sip)
{
	sip->a += sip->b;
	sip->c += sip->d;
	sip->b = fwd_flow_rotate(sip->b, 13) ^ sip->a;
	sip->d = fwd_flow_rotate(sip->d, 16) ^ sip->c;
	sip->a = fwd_flow_rotate(sip->a, 32);
	sip->c += sip->b;
	sip->a += sip->d;
	sip->b = fwd_flow_rotate(sip->b, 17) ^ sip->c;
	sip->d = fwd_flow_rotate(sip->d, 21) ^ sip->a;
	sip->c = fwd_flow_rotate(sip->c, 32);
}

static void fwd_flow_take_in(struct sip *sip, uint64_t word)
{
	sip->d ^= word;
	fwd_flow_mix(sip);
	fwd_flow_mix(sip);
	sip->a ^= word;
}

uint64_t fwd_flow_hash(const struct flow_seed *seed, const struct addr *addr, bool with_port)
{
	struct sip sip = {
		.a = seed->words[0] ^ 0x736f6d6570736575,
		.b = seed->words[1] ^ 0x646f72616e646f6d,
		.c = seed->words[0] ^ 0x6c7967656e657261,
		.d = seed->words[1] ^ 0x7465646279746573,
	};
	uint64_t port = with_port ? addr_port(addr) : 0;

	/* The last word also tells the lengths apart, as SipHash wants it. */
	if (addr->any.sa_family == AF_INET6) {
		uint64_t words[2];

		memcpy(words, &addr->in6.sin6_addr, sizeof(words));
		fwd_flow_take_in(&sip, words[0]);
		fwd_flow_take_in(&sip, words[1]);
		fwd_flow_take_in(&sip, (uint64_t)18 << 56 | port);
	} else {
		fwd_flow_take_in(&sip, (uint64_t)6 << 56 | port << 32 | addr->in.sin_addr.s_addr);
	}
	sip.c ^= 0xff;
	for (int i = 0; i < 4; i++)
		fwd_flow_mix(&sip);
	return sip.a ^ sip.b ^ sip.c ^ sip.d;
}

/* ---- The table ---- */

static size_t fwd_flow_table_bucket(const struct flow_table *table, uint64_t hash)
{
	size_t wide = table->room - 1, bucket = hash & wide;

	while (bucket >= table->bucket_count) {
		wide >>= 1;
		bucket = hash & wide;
	}
	return bucket;
}

struct flow_node *fwd_flow_table_first(const struct flow_table *table, uint64_t hash)
{
	return table->count ? table->buckets[fwd_flow_table_bucket(table, hash)] : NULL;
}

static int fwd_flow_table_make_room(struct flow_table *table)
{
	size_t room = table->room ? table->room * 2 : ROOM_MIN;
	struct flow_node **buckets;

	if (table->bucket_count < table->room)
		return 0;
	buckets = realloc(table->buckets, room * sizeof(*buckets));
	if (!buckets)
		return -1;
	memset(buckets + table->room, 0, (room - table->room) * sizeof(*buckets));
	table->buckets = buckets;
	table->room = room;
	return 0;
}

/* The nodes of the bucket that the new one is divided from go to where they belong now. */
static void fwd_flow_table_divide(struct flow_table *table)
{
	size_t made = table->bucket_count++, size = 1;
	struct flow_node *node;

	if (!made)
		return;
	while (size * 2 <= made)
		size *= 2;
	node = table->buckets[made - size];
	table->buckets[made - size] = NULL;
	while (node) {
		struct flow_node *next = node->next;
		struct flow_node **bucket = &table->buckets[fwd_flow_table_bucket(table, node->hash)];

		node->next = *bucket;
		*bucket = node;
		node = next;
	}
}

int fwd_flow_table_add(struct flow_table *table, struct flow_node *node, uint64_t hash)
{
	struct flow_node **bucket;

	/* For lack of memory an older table goes on with longer chains. */
	if (table->count >= table->bucket_count && fwd_flow_table_make_room(table) == 0)
		fwd_flow_table_divide(table);
	if (!table->bucket_count)
		return -1;
	bucket = &table->buckets[fwd_flow_table_bucket(table, hash)];
	*node = (struct flow_node){ .next = *bucket, .hash = hash };
	*bucket = node;
	table->count++;
	return 0;
}

void fwd_flow_table_remove(struct flow_table *table, struct flow_node *node)
{
	struct flow_node **at = &table->buckets[fwd_flow_table_bucket(table, node->hash)];

	while (*at != node)
		at = &(*at)->next;
	*at = node->next;
	table->count--;
}

void fwd_flow_table_clear(struct flow_table *table)
{
	free(table->buckets);
	*table = (struct flow_table){ 0 };
}

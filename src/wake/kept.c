/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sleepers are found by their address in a table of fixed size; an address has few copies, which are looked through. All copies are in
 * one more queue by their age. A copy is as large as its packet, 2 KB at most, so that all together take 8 MB at most.
 */
#include "wake/kept.h"

#include "base/assert.h"
#include "kernel/packet_log.h"
#include "wake/wake.h"

#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 1024 }; /* a power of 2 */

TAILQ_HEAD(wake_copies, wake_copy);
LIST_HEAD(wake_sleepers, wake_sleeper);

struct wake_sleeper {
	LIST_ENTRY(wake_sleeper) next; /* of its bucket */
	uint32_t host_ip;
	struct wake_copies copies;
	unsigned count;
	bool open; /* its TAP */
};

struct wake_kept {
	struct wake_sleepers buckets[BUCKETS];
	struct wake_copies by_age;
	size_t count;
};

struct wake_kept *wake_kept_new(void)
{
	struct wake_kept *kept = calloc(1, sizeof(*kept));

	if (kept)
		TAILQ_INIT(&kept->by_age);
	return kept;
}

/* Addresses lie close together, so that their last bits spread them. */
static struct wake_sleepers *wake_kept_bucket(struct wake_kept *kept, uint32_t host_ip)
{
	return &kept->buckets[host_ip & (BUCKETS - 1)];
}

static struct wake_sleeper *wake_kept_find(struct wake_kept *kept, uint32_t host_ip)
{
	struct wake_sleeper *sleeper;

	LIST_FOREACH(sleeper, wake_kept_bucket(kept, host_ip), next)
	if (sleeper->host_ip == host_ip)
		break;
	return sleeper;
}

int wake_kept_open(struct wake_kept *kept, uint32_t host_ip)
{
	struct wake_sleeper *sleeper = wake_kept_find(kept, host_ip);

	if (sleeper)
		return 0;
	sleeper = calloc(1, sizeof(*sleeper));
	if (!sleeper)
		return -1;
	sleeper->host_ip = host_ip;
	TAILQ_INIT(&sleeper->copies);
	LIST_INSERT_HEAD(wake_kept_bucket(kept, host_ip), sleeper, next);
	return 0;
}

bool wake_kept_is_news(struct wake_kept *kept, uint32_t host_ip, bool open)
{
	const struct wake_sleeper *sleeper = wake_kept_find(kept, host_ip);

	return sleeper && sleeper->open != open;
}

void wake_kept_note_tap(struct wake_kept *kept, uint32_t host_ip, bool open)
{
	struct wake_sleeper *sleeper = wake_kept_find(kept, host_ip);
	struct wake_copy *copy;

	if (!sleeper)
		return;
	sleeper->open = open;
	TAILQ_FOREACH(copy, &sleeper->copies, of_sleeper)
	copy->reached &= open;
}

/* ---- Copies ---- */

static void wake_kept_insert(struct wake_kept *kept, struct wake_sleeper *sleeper, struct wake_copy *copy)
{
	copy->sleeper = sleeper;
	/* A SYN does no harm twice. */
	copy->reached = sleeper->open && copy->packet.proto == PROTO_UDP;
	TAILQ_INSERT_TAIL(&kept->by_age, copy, by_age);
	TAILQ_INSERT_TAIL(&sleeper->copies, copy, of_sleeper);
	kept->count++;
	sleeper->count++;
}

static void wake_kept_remove(struct wake_kept *kept, struct wake_copy *copy)
{
	TAILQ_REMOVE(&kept->by_age, copy, by_age);
	TAILQ_REMOVE(&copy->sleeper->copies, copy, of_sleeper);
	kept->count--;
	copy->sleeper->count--;
	free(copy);
}

static struct wake_copy *wake_kept_make(const struct wake_packet *packet, const uint8_t *bytes, uint64_t now_ms)
{
	struct wake_copy *copy = malloc(sizeof(*copy) + packet->length);

	if (!copy)
		return NULL;
	*copy = (struct wake_copy){ .packet = *packet, .kept_ms = now_ms };
	memcpy(copy->bytes, bytes, packet->length);
	return copy;
}

static struct wake_copy *wake_kept_of_flow(const struct wake_sleeper *sleeper, const struct wake_packet *packet)
{
	struct wake_copy *copy;

	TAILQ_FOREACH(copy, &sleeper->copies, of_sleeper)
	{
		const struct wake_packet *kept = &copy->packet;

		if (kept->proto == packet->proto && kept->source == packet->source &&
		    kept->source_port == packet->source_port && kept->dest_port == packet->dest_port)
			break;
	}
	return copy;
}

/* PACKET is a later one of the flow of FORMER. Without memory FORMER stays. */
static struct wake_copy *wake_kept_renew(struct wake_kept *kept, struct wake_copy *former,
					 const struct wake_packet *packet, const uint8_t *bytes, uint64_t now_ms)
{
	struct wake_copy *copy;

	if (packet->proto == PROTO_UDP)
		return NULL;
	copy = wake_kept_make(packet, bytes, now_ms);
	if (!copy)
		return NULL;
	copy->asked_known = former->asked_known;
	copy->asked_ip = former->asked_ip;
	copy->asked_port = former->asked_port;
	wake_kept_insert(kept, former->sleeper, copy);
	wake_kept_remove(kept, former);
	return copy;
}

struct wake_copy *wake_kept_add(struct wake_kept *kept, const struct wake_packet *packet, const uint8_t *bytes,
				uint64_t now_ms)
{
	struct wake_sleeper *sleeper = wake_kept_find(kept, packet->destination);
	struct wake_copy *copy;

	base_assert(packet->sendable);
	if (!sleeper || packet->length > KERN_WAKE_BYTES)
		return NULL;
	copy = wake_kept_of_flow(sleeper, packet);
	if (copy)
		return wake_kept_renew(kept, copy, packet, bytes, now_ms);
	if (sleeper->count >= WAKE_KEPT_FLOWS || kept->count >= WAKE_KEPT_ALL)
		return NULL;
	copy = wake_kept_make(packet, bytes, now_ms);
	if (copy)
		wake_kept_insert(kept, sleeper, copy);
	return copy;
}

/* ---- Ends ---- */

static void wake_kept_drop(struct wake_kept *kept, struct wake_sleeper *sleeper)
{
	struct wake_copy *copy;

	while ((copy = TAILQ_FIRST(&sleeper->copies)))
		wake_kept_remove(kept, copy);
	LIST_REMOVE(sleeper, next);
	free(sleeper);
}

void wake_kept_forget_led(struct wake_kept *kept, uint32_t host_ip)
{
	struct wake_sleeper *sleeper = wake_kept_find(kept, host_ip);
	struct wake_copy *copy, *next;

	if (!sleeper)
		return;
	TAILQ_FOREACH_SAFE(copy, &sleeper->copies, of_sleeper, next)
	if (copy->asked_known && copy->asked_ip != host_ip)
		wake_kept_remove(kept, copy);
}

void wake_kept_close(struct wake_kept *kept, uint32_t host_ip, void (*take)(void *context, struct wake_copy *copy),
		     void *context)
{
	struct wake_sleeper *sleeper = wake_kept_find(kept, host_ip);
	struct wake_copy *copy;

	if (!sleeper)
		return;
	if (take)
		TAILQ_FOREACH(copy, &sleeper->copies, of_sleeper)
	take(context, copy);
	wake_kept_drop(kept, sleeper);
}

uint64_t wake_kept_expire(struct wake_kept *kept, uint64_t now_ms)
{
	struct wake_copy *copy;

	while ((copy = TAILQ_FIRST(&kept->by_age)) && now_ms >= copy->kept_ms + WAKE_KEPT_MS)
		wake_kept_remove(kept, copy);
	return copy ? copy->kept_ms + WAKE_KEPT_MS : 0;
}

size_t wake_kept_count(const struct wake_kept *kept)
{
	return kept->count;
}

void wake_kept_free(struct wake_kept *kept)
{
	if (!kept)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		while (!LIST_EMPTY(&kept->buckets[i]))
			wake_kept_drop(kept, LIST_FIRST(&kept->buckets[i]));
	free(kept);
}

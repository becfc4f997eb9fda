/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A block is 64 KiB, aligned to its size, so that an object's block is found by masking its address. Each block threads its
 * free objects on a list through the objects themselves. A block is on one of two lists: those with room, and the full ones.
 *
 * AddressSanitizer knows nothing of objects inside a block: so free ones are poisoned by hand, but for the list's pointer.
 */
#include "base/slab.h"
#include "base/assert.h"

#include "base/queue.h"

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* gcc defines the first, clang answers the second. */
#ifdef __SANITIZE_ADDRESS__
#define SLAB_POISONS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLAB_POISONS 1
#endif
#endif

#ifdef SLAB_POISONS
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size)   ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

enum { BLOCK_SIZE = 64 * 1024 };

struct free_object {
	struct free_object *next;
};

struct block {
	LIST_ENTRY(block) link; /* on the slab's `roomy` list while there is room, else on `full` */
	struct free_object *free;
	size_t used;
	size_t untouched; /* offset of the first object never handed out */
};

LIST_HEAD(block_list, block);

struct slab {
	size_t size;
	size_t used;
	size_t empty_blocks;
	struct block_list roomy, full;
};

static const size_t FIRST_OBJECT = (sizeof(struct block) + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);

static struct block *base_slab_block_of(void *object)
{
	/* NOLINTNEXTLINE(performance-no-int-to-ptr) */
	return (struct block *)((uintptr_t)object & ~(uintptr_t)(BLOCK_SIZE - 1));
}

static bool base_slab_is_full(const struct slab *slab, const struct block *block)
{
	return !block->free && block->untouched + slab->size > BLOCK_SIZE;
}

struct slab *base_slab_new(size_t size)
{
	struct slab *slab = calloc(1, sizeof(*slab));
	size_t alignment = alignof(max_align_t);

	if (!slab)
		return NULL;
	slab->size = (size + alignment - 1) & ~(alignment - 1);
	base_assert(FIRST_OBJECT + slab->size <= BLOCK_SIZE);
	LIST_INIT(&slab->roomy);
	LIST_INIT(&slab->full);
	return slab;
}

static void base_slab_free_block(struct block *block)
{
	ASAN_UNPOISON_MEMORY_REGION(block, BLOCK_SIZE);
	free(block);
}

static void base_slab_free_blocks(struct block_list *list)
{
	struct block *block;

	while ((block = LIST_FIRST(list))) {
		LIST_REMOVE(block, link);
		base_slab_free_block(block);
	}
}

void base_slab_destroy(struct slab *slab)
{
	if (!slab)
		return;
#ifdef WEFT_DEBUG
	base_assert(!slab->used);
#endif
	base_slab_free_blocks(&slab->roomy);
	base_slab_free_blocks(&slab->full);
	free(slab);
}

static struct block *base_slab_add_block(struct slab *slab)
{
	struct block *block = aligned_alloc(BLOCK_SIZE, BLOCK_SIZE);

	if (!block)
		return NULL;
	*block = (struct block){ .untouched = FIRST_OBJECT };
	LIST_INSERT_HEAD(&slab->roomy, block, link);
	slab->empty_blocks++;
	return block;
}

void *base_slab_alloc(struct slab *slab)
{
	struct block *block = LIST_FIRST(&slab->roomy);
	void *object;

	if (!block)
		block = base_slab_add_block(slab);
	if (!block)
		return NULL;
	if (block->free) {
		object = block->free;
		block->free = block->free->next;
	} else {
		object = (char *)block + block->untouched;
		block->untouched += slab->size;
	}
	if (!block->used++)
		slab->empty_blocks--;
	if (base_slab_is_full(slab, block)) {
		LIST_REMOVE(block, link);
		LIST_INSERT_HEAD(&slab->full, block, link);
	}
	slab->used++;
	ASAN_UNPOISON_MEMORY_REGION(object, slab->size);
	return memset(object, 0, slab->size);
}

void base_slab_free(struct slab *slab, void *object)
{
	struct block *block = base_slab_block_of(object);
	struct free_object *freed = object;

	if (base_slab_is_full(slab, block)) {
		LIST_REMOVE(block, link);
		LIST_INSERT_HEAD(&slab->roomy, block, link);
	}
	ASAN_POISON_MEMORY_REGION(freed + 1, slab->size - sizeof(*freed));
	freed->next = block->free;
	block->free = freed;
	slab->used--;
	if (--block->used)
		return;
	if (slab->empty_blocks++ == 0)
		return;
	LIST_REMOVE(block, link);
	slab->empty_blocks--;
	base_slab_free_block(block);
}

size_t base_slab_used(const struct slab *slab)
{
	return slab->used;
}

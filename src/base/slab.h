/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_SLAB_H
#define WEFT_BASE_SLAB_H

#include <stddef.h>

/*
 * Many objects of one size that are made and freed all the time. They are cut from blocks, so that they cost no more than their
 * size and never fragment the heap. Empty blocks are given back but for one. Not locked: one slab, one thread.
 */
struct slab;

/* SIZE: bytes of an object. NULL only for lack of memory. */
struct slab *base_slab_new(size_t size);

/* Frees all blocks. Objects still in use go with them; in debug builds that is a bug and aborts. */
void base_slab_destroy(struct slab *slab);

/* An object of zeroes, aligned for any type. NULL only for lack of memory. */
void *base_slab_alloc(struct slab *slab);

void base_slab_free(struct slab *slab, void *object);

/* Objects in use. */
size_t base_slab_used(const struct slab *slab);

#endif

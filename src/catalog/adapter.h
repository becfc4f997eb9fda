/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CATALOG_ADAPTER_H
#define WEFT_CATALOG_ADAPTER_H

/*
 * hiredis on the loop, in place of its own adapter for libevent, and without its end for want of memory. The one of Debian 12 aborts or uses
 * a null pointer at a few small allocations; these are kept in store, and hiredis is not called while the store is not full.
 */

#include <stdbool.h>

struct event_base;
struct redisAsyncContext;

struct catalog_adapter_owner {
	void (*reading)(
	    void *context); /* after each read, before its answers are taken; it must not free the connection */
	void (*starved)(void *context); /* there is no memory to go on; the same */
	void *context;
};

/* Whether hiredis may be called to connect: it has what it cannot do without. */
bool catalog_adapter_is_ready(void);

/* 0, or -1 for want of memory: nothing has changed. OWNER is copied. */
int catalog_adapter_attach(struct redisAsyncContext *redis, struct event_base *base,
			   const struct catalog_adapter_owner *owner);

/* Frees the store, once there is no connection. */
void catalog_adapter_release(void);

#endif

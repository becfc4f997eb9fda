/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CATALOG_LOOKUP_H
#define WEFT_CATALOG_LOOKUP_H

/* Looks up the addresses of a name without keeping the loop: on a thread of its own, one look-up at a time. */

struct event_base;
struct err;

enum { CATALOG_ADDRESSES = 8, CATALOG_ADDRESS_SIZE = 64 };

struct catalog_lookup;

/* The addresses, as text, in the resolver's order; COUNT is 0 with WHY after a failure. The look-up is freed by then. */
typedef void catalog_lookup_done(void *context, const char addresses[][CATALOG_ADDRESS_SIZE], unsigned count,
				 const char *why);

/* Begins to look up HOST. NULL with ERR. */
struct catalog_lookup *catalog_lookup_start(struct event_base *base, const char *host, catalog_lookup_done *done,
					    void *context, struct err *err);

/* Nobody is called any more. A resolver that does not answer is left to itself. Harmless with NULL. */
void catalog_lookup_stop(struct catalog_lookup *lookup);

#endif

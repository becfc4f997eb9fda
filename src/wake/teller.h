/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_WAKE_TELLER_H
#define WEFT_WAKE_TELLER_H

/* The posts to the manager: one for each key, tried until it is taken. See wake_tell(). Main thread only. */

#include <stddef.h>
#include <stdint.h>

struct err;
struct event_base;
struct wake_teller;

/* NULL with ERR: no memory. */
struct wake_teller *wake_teller_new(struct event_base *base, struct err *err);

/* Gives up all posts. Harmless with NULL. */
void wake_teller_free(struct wake_teller *teller);

void wake_teller_tell(struct wake_teller *teller, const char *path, const char *key, const char *body);
void wake_teller_redirect(struct wake_teller *teller, const char *path);
void wake_teller_untell(struct wake_teller *teller, const char *key);

/* As in struct wake_stats. */
struct wake_teller_counts {
	uint64_t told, failures;
	size_t telling;
	const char *error;
};
struct wake_teller_counts wake_teller_counts(const struct wake_teller *teller);

#endif

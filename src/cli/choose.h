/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_CHOOSE_H
#define WEFT_CLI_CHOOSE_H

/*
 * Which sandboxes a command shows (--filter), and in which order (--sort).
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct args;
struct err;

/* For completion: filters that need no value of the user's own. */
#define CHOOSE_FILTERS                                                                                                 \
	"state=creating state=waiting state=attached state=ready state=detached state=paused state=draining "          \
	"state=failed default=yes default=no wake=asleep wake=asked"

#define CHOOSE_FILTER_TEXT                                                                                             \
	"only sandboxes with state=S, label=K[=V], name=TEXT, id=TEXT, port=P, default=yes or no, wake=asleep or "     \
	"asked"

/* Whether the values of --filter in ARGS can be understood. 0, or -1 with ERR. */
int cli_choose_check(const struct args *args, struct err *err);

/*
 * Whether SANDBOX meets the filters in ARGS, which cli_choose_check() approved. As docker does: filters of different keys all
 * count, of those with the same key one is enough, but labels all count.
 */
bool cli_choose_is_met(const struct args *args, const json_t *sandbox);

struct order_key {
	const char *name;                                    /* NULL ends a list */
	int (*compare)(const void *left, const void *right); /* as for qsort(3) */
	bool falling;                                        /* the largest first, unless reversed */
};

struct order {
	const struct order_key *key;
	bool reversed;
	int (*tie)(const void *left, const void *right); /* decides between equals */
};

/* Reads KEY or -KEY, which is one of KEYS by the option's own words. TIE is left alone. */
void cli_order_read(struct order *order, const struct order_key *keys, const char *text);

void cli_order_sort(const struct order *order, void *items, size_t count, size_t size);

/* -1, 0 or 1. */
int cli_order_numbers(double left, double right);

#endif

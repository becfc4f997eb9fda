/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sets of the host's table that weftd fills, with elements of many sandboxes: reading them, and the difference between what they have
 * and what they should have.
 */
#include "base/err.h"
#include "fabric/rules/host_rules.h"
#include "nft/read.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <stdlib.h>

struct host_set_reader {
	struct rules_elements *elements;
	bool broken;
};

static void rules_host_take_element(void *context, const struct nft_read_element *read)
{
	struct host_set_reader *reader = context;
	struct nft_element *kept = vec_push(reader->elements);

	if (kept)
		*kept = read->element;
	else
		reader->broken = true;
}

int rules_host_read_set(const struct nft_set *set, struct rules_elements *elements, struct err *err)
{
	struct host_set_reader reader = { .elements = elements };
	int status = -1;

	for (unsigned i = 0; status < 0 && i < NFT_ATTEMPTS; i++) {
		elements->count = 0;
		status = nft_read_elements(-1, NFPROTO_INET, set, rules_host_take_element, &reader, err);
		if (status < 0 && err->code != EINTR)
			break;
	}
	if (status == 0 && reader.broken)
		status = err_set(err, ENOMEM, "reading set %s", set->name);
	if (status < 0)
		elements->count = 0;
	return status < 0 && err->code != ENOENT ? -1 : 0;
}

static int rules_host_compare_numbers(uint32_t a, uint32_t b)
{
	return a < b ? -1 : a > b;
}

static int rules_host_order_elements(const void *left, const void *right)
{
	const struct nft_element *a = left, *b = right;
	int order = rules_host_compare_numbers(a->first, b->first);

	if (!order)
		order = rules_host_compare_numbers(a->proto, b->proto);
	if (!order)
		order = rules_host_compare_numbers(a->port, b->port);
	if (!order)
		order = rules_host_compare_numbers(a->to_address, b->to_address);
	return order ? order : rules_host_compare_numbers(a->to_port, b->to_port);
}

static void rules_host_sort(struct rules_elements *elements)
{
	if (elements->count)
		qsort(elements->items, elements->count, sizeof(elements->items[0]), rules_host_order_elements);
}

/* Appends to LESS the elements of A that B lacks. Both are sorted. */
static void rules_host_subtract(struct nft_batch *batch, const struct rules_elements *a, const struct rules_elements *b,
				struct rules_elements *less)
{
	for (size_t i = 0, j = 0; i < a->count; i++) {
		while (j < b->count && rules_host_order_elements(&b->items[j], &a->items[i]) < 0)
			j++;
		if (j < b->count && rules_host_order_elements(&b->items[j], &a->items[i]) == 0)
			continue;
		struct nft_element *element = vec_push(less);
		if (element)
			*element = a->items[i];
		else
			batch->broken = true;
	}
}

size_t rules_host_change_set(struct nft_batch *batch, const struct nft_set *set, struct rules_elements *has,
			     struct rules_elements *wanted)
{
	struct rules_elements gone = { 0 }, lacking = { 0 };
	size_t added;

	rules_host_sort(has);
	rules_host_sort(wanted);
	rules_host_subtract(batch, has, wanted, &gone);
	rules_host_subtract(batch, wanted, has, &lacking);
	nft_elements_delete(batch, set, gone.items, gone.count);
	nft_elements_add(batch, set, lacking.items, lacking.count);
	added = lacking.count;
	vec_free(&gone);
	vec_free(&lacking);
	return added;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel refuses a set of which two elements overlap. Elements are rectangles here, of addresses and ports. Of two whose networks
 * contain each other, the inner one gives the ports up that the outer one has, and keeps the gaps between them: sorted by network,
 * the wider first, the outer ones of each are a stack.
 *
 * A network with M ranges inside one with N of them may become M * N elements, and the kernel takes a second for some thousands.
 */
#include "fabric/rules/elements.h"

#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>

struct port_span {
	unsigned first, last;
};

static int rules_elements_compare(const void *left, const void *right)
{
	const struct nft_element *a = left, *b = right;

	if (a->proto != b->proto)
		return a->proto < b->proto ? -1 : 1;
	if (a->first != b->first)
		return a->first < b->first ? -1 : 1;
	if (a->last != b->last)
		return a->last > b->last ? -1 : 1;
	return a->port - b->port;
}

static int rules_elements_compare_spans(const void *left, const void *right)
{
	const struct port_span *a = left, *b = right;

	return (int)a->first - (int)b->first;
}

/* Adds the parts of ELEMENT's ports to LIST that none of the COUNT spans has, which are sorted here. 0, or -1 with errno. */
static int rules_elements_add_gaps(struct rules_elements *list, const struct nft_element *element,
				   struct port_span *spans, size_t count, size_t max)
{
	unsigned next = element->port;

	if (count)
		qsort(spans, count, sizeof(spans[0]), rules_elements_compare_spans);
	for (size_t i = 0; i <= count && next <= element->port_last; i++) {
		unsigned end = i < count ? spans[i].first : element->port_last + 1u;

		if (next < end) {
			struct nft_element *part = list->count < max ? vec_push(list) : NULL;
			if (!part) {
				errno = list->count < max ? ENOMEM : E2BIG;
				return -1;
			}
			*part = *element;
			part->port = (uint16_t)next;
			part->port_last = (uint16_t)(end - 1);
		}
		if (i < count && spans[i].last + 1 > next)
			next = spans[i].last + 1;
	}
	return 0;
}

int rules_elements_separate(struct rules_elements *list, size_t max)
{
	AUTO_FREE const struct nft_element **outer = calloc(list->count + 1, sizeof(const struct nft_element *));
	AUTO_FREE struct port_span *spans = calloc(list->count + 1, sizeof(*spans));
	struct rules_elements separate = { 0 };
	size_t depth = 0;

	if (!outer || !spans) {
		errno = ENOMEM;
		return -1;
	}
	if (list->count)
		qsort(list->items, list->count, sizeof(list->items[0]), rules_elements_compare);
	for (size_t i = 0; i < list->count; i++) {
		const struct nft_element *element = &list->items[i];
		size_t count = 0;

		while (depth && (outer[depth - 1]->proto != element->proto || outer[depth - 1]->last < element->first))
			depth--;
		for (size_t j = 0; j < depth; j++)
			if (outer[j]->port <= element->port_last && element->port <= outer[j]->port_last)
				spans[count++] = (struct port_span){ outer[j]->port, outer[j]->port_last };
		if (rules_elements_add_gaps(&separate, element, spans, count, max) < 0) {
			vec_free(&separate);
			return -1;
		}
		outer[depth++] = element;
	}
	vec_free(list);
	*list = separate;
	return 0;
}

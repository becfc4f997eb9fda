/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_CLI_SUGGEST_H
#define WEFT_CLI_SUGGEST_H

/*
 * The word that was probably meant by a mistyped one. Zero-initialise with TYPED, offer all words, and read the best.
 */

#include <stddef.h>

struct cli_suggestion {
	const char *typed; /* need not end at LENGTH */
	size_t length;     /* bytes of TYPED that count; 0: all */
	size_t most;       /* changes at most; 0: as many as fit the length */
	const char *best;  /* the closest word so far; NULL: none is close */
	size_t distance;   /* of BEST */
};

/* Offers WORD, which must outlive the suggestion. Of equally close words the first stays. */
void cli_suggest_offer(struct cli_suggestion *suggestion, const char *word);

#endif

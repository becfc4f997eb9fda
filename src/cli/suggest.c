/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A word is close if few changes make it of the typed one: a letter added, dropped or replaced, or two neighbours exchanged
 * (the optimal string alignment). One change is allowed for each three letters typed, because more would propose anything. A
 * word that begins with all that was typed is closer than any other.
 */
#include "cli/suggest.h"

#include <string.h>

enum { SUGGEST_WORD_MAX = 64, SUGGEST_LETTERS_A_CHANGE = 3 };

static size_t cli_suggest_least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* The number of changes between two words of at most SUGGEST_WORD_MAX bytes. Only the last three rows of the table are kept. */
static size_t cli_suggest_distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
	size_t rows[3][SUGGEST_WORD_MAX + 1];

	for (size_t j = 0; j <= b_length; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= a_length; i++) {
		size_t *row = rows[i % 3], *above = rows[(i - 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= b_length; j++) {
			size_t changed = above[j - 1] + (a[i - 1] != b[j - 1]);

			row[j] = cli_suggest_least(cli_suggest_least(row[j - 1], above[j]) + 1, changed);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = cli_suggest_least(row[j], rows[(i - 2) % 3][j - 2] + 1);
		}
	}
	return rows[a_length % 3][b_length];
}

void cli_suggest_offer(struct cli_suggestion *suggestion, const char *word)
{
	size_t typed = suggestion->length ? suggestion->length : strlen(suggestion->typed), length = strlen(word);

	if (!typed || typed > SUGGEST_WORD_MAX || length > SUGGEST_WORD_MAX)
		return;
	size_t distance = length > typed && strncmp(word, suggestion->typed, typed) == 0
			      ? 0
			      : cli_suggest_distance(suggestion->typed, typed, word, length);
	size_t most = (typed + SUGGEST_LETTERS_A_CHANGE - 1) / SUGGEST_LETTERS_A_CHANGE;
	if (suggestion->most && suggestion->most < most)
		most = suggestion->most;
	/* As many changes as the word has letters would make another word of it. */
	if (distance >= length || distance > most)
		return;
	if (!suggestion->best || distance < suggestion->distance) {
		suggestion->best = word;
		suggestion->distance = distance;
	}
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The model's parts, which its readers fill. Rules and sets belong to the chain and the ruleset that they were added to.
 */
#include "inspect/ruleset.h"

#include <string.h>

void inspect_ruleset_clear_rule(struct ruleset_rule *rule)
{
	vec_free(&rule->steps);
}

void inspect_ruleset_clear(struct ruleset *ruleset)
{
	for (size_t i = 0; i < ruleset->count; i++) {
		struct ruleset_chain *chain = &ruleset->items[i];
		for (size_t j = 0; j < chain->rules.count; j++)
			inspect_ruleset_clear_rule(&chain->rules.items[j]);
		vec_free(&chain->rules);
	}
	for (size_t i = 0; i < ruleset->sets.count; i++)
		vec_free(&ruleset->sets.items[i].elements);
	vec_free(&ruleset->sets);
	vec_free(&ruleset->dormant);
	vec_free(ruleset);
}

struct ruleset_chain *inspect_ruleset_add_chain(struct ruleset *ruleset)
{
	struct ruleset_chain *chain = vec_push(ruleset);

	if (chain)
		chain->hook = HOOK_NONE;
	return chain;
}

struct ruleset_rule *inspect_ruleset_add_rule(struct ruleset_chain *chain)
{
	return vec_push(&chain->rules);
}

struct ruleset_set *inspect_ruleset_add_set(struct ruleset *ruleset)
{
	return vec_push(&ruleset->sets);
}

void inspect_ruleset_add_step(struct ruleset_rule *rule, const struct ruleset_step *step)
{
	struct ruleset_step *added = vec_push(&rule->steps);

	if (added)
		*added = *step;
	else
		rule->incomplete = true;
}

const struct ruleset_chain *inspect_ruleset_find(const struct ruleset *ruleset, const struct ruleset_chain *beside,
						 const char *name)
{
	for (size_t i = 0; i < ruleset->count; i++) {
		const struct ruleset_chain *chain = &ruleset->items[i];
		if (chain->legacy == beside->legacy && strcmp(chain->family, beside->family) == 0 &&
		    strcmp(chain->table, beside->table) == 0 && strcmp(chain->name, name) == 0)
			return chain;
	}
	return NULL;
}

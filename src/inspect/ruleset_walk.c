/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Walks a packet through the chains of a hook. A rule holds, does not, or perhaps does, so a chain has a set of possible outcomes, and
 * the packet goes on in each of them. The answer is sure if no outcome but the one that was asked for is left. A drop in any base
 * chain is final, an accept is not.
 */
#include "inspect/ruleset.h"
#include "inspect/ruleset_run.h"

#include <string.h>

enum {
	DEPTH_MAX = 16,      /* the kernel's limit of jumps */
	STEPS_MAX = 1 << 20, /* rules that are run for one answer; doubtful jumps can multiply */
};

/* What may come of a chain. */
enum { MAY_GO_ON = 1, MAY_ACCEPT = 2, MAY_DROP = 4, MAY_REDIRECT = 8, MAY_DO_ANYTHING = 15 };

struct ruleset_walk {
	const struct ruleset *ruleset;
	struct ruleset_moment moment;
	unsigned wanted; /* MAY_DROP or MAY_REDIRECT */
	size_t steps;    /* so far */
	/* The rules that do what is asked for; the policy's is no rule. */
	const struct ruleset_chain *chain, *perhaps_chain;
	const struct ruleset_rule *rule, *perhaps_rule;
	uint64_t way;
};

static unsigned inspect_walk_chain(struct ruleset_walk *walk, const struct ruleset_chain *chain,
				   enum ruleset_certainty reach, unsigned depth);

static void inspect_walk_note(struct ruleset_walk *walk, const struct ruleset_chain *chain,
			      const struct ruleset_rule *rule, enum ruleset_certainty certainty)
{
	if (certainty == RULESET_SURELY && !walk->chain) {
		walk->chain = chain;
		walk->rule = rule;
	} else if (certainty == RULESET_PERHAPS && !walk->perhaps_chain) {
		walk->perhaps_chain = chain;
		walk->perhaps_rule = rule;
	}
}

static unsigned inspect_walk_target(struct ruleset_walk *walk, const struct ruleset_chain *chain, const char *target,
				    enum ruleset_certainty reach, unsigned depth)
{
	const struct ruleset_chain *found = inspect_ruleset_find(walk->ruleset, chain, target);

	return found && depth < DEPTH_MAX ? inspect_walk_chain(walk, found, reach, depth + 1) : MAY_DO_ANYTHING;
}

/* A verdict, of a rule or of an element of its map. */
struct walk_verdict {
	enum ruleset_verdict verdict;
	const char *target;
};

/*
 * The outcomes of a verdict that is reached with CERTAINTY. *BACK: those after which the chain's next rule is run; MAY_GO_ON among
 * the others leaves the chain.
 */
static unsigned inspect_walk_verdict(struct ruleset_walk *walk, const struct ruleset_chain *chain,
				     const struct ruleset_rule *rule, const struct walk_verdict *verdict,
				     enum ruleset_certainty certainty, unsigned depth, bool *back)
{
	unsigned outcomes = 0;

	*back = false;
	switch (verdict->verdict) {
	case VERDICT_NONE:
		*back = true;
		return 0;
	case VERDICT_ACCEPT:
		return MAY_ACCEPT;
	case VERDICT_DROP:
		outcomes = MAY_DROP;
		break;
	case VERDICT_REDIRECT:
		outcomes = MAY_REDIRECT;
		break;
	case VERDICT_RETURN:
		return MAY_GO_ON;
	case VERDICT_JUMP:
		outcomes = inspect_walk_target(walk, chain, verdict->target, certainty, depth);
		*back = outcomes & MAY_GO_ON;
		return outcomes & ~(unsigned)MAY_GO_ON;
	case VERDICT_GOTO:
		return inspect_walk_target(walk, chain, verdict->target, certainty, depth);
	case VERDICT_UNKNOWN:
		outcomes = MAY_ACCEPT | MAY_DROP;
		certainty = RULESET_PERHAPS;
		break;
	}
	if (outcomes & walk->wanted)
		inspect_walk_note(walk, chain, rule, certainty);
	return outcomes;
}

/* The verdicts of a map. Each element that may have the key is followed. */
static unsigned inspect_walk_map(struct ruleset_walk *walk, const struct ruleset_chain *chain,
				 const struct ruleset_rule *rule, const struct ruleset_step *step,
				 const struct ruleset_registers *registers, enum ruleset_certainty reach,
				 unsigned depth, bool *back)
{
	const struct ruleset_set *set =
	    step->set < walk->ruleset->sets.count ? &walk->ruleset->sets.items[step->set] : NULL;
	unsigned outcomes = 0;
	bool goes_on = false;

	*back = true;
	if (!set || set->unreadable || step->source + set->key_length > RULESET_REGISTERS_SIZE) {
		walk->moment.elsewhere = true;
		inspect_walk_note(walk, chain, rule, RULESET_PERHAPS);
		return MAY_ACCEPT | MAY_DROP | MAY_REDIRECT;
	}
	for (size_t i = 0; i < set->elements.count; i++) {
		const struct ruleset_element *element = &set->elements.items[i];
		struct walk_verdict verdict = { element->verdict, element->target };
		enum ruleset_certainty has = element->any
						 ? RULESET_SURELY
						 : inspect_set_element_has(set, element, registers->bits + step->source,
									   registers->known + step->source);
		if (has == RULESET_NO)
			continue;
		inspect_way_add(&walk->way, i << 2 | has);
		outcomes |= inspect_walk_verdict(walk, chain, rule, &verdict, has < reach ? has : reach, depth, back);
		goes_on = goes_on || *back;
		*back = goes_on;
		if (has == RULESET_SURELY)
			return outcomes;
	}
	*back = true;
	return outcomes;
}

static unsigned inspect_walk_chain(struct ruleset_walk *walk, const struct ruleset_chain *chain,
				   enum ruleset_certainty reach, unsigned depth)
{
	struct ruleset_registers registers;
	unsigned outcomes = 0;

	for (size_t i = 0; i < chain->rules.count; i++) {
		const struct ruleset_rule *rule = &chain->rules.items[i];
		struct walk_verdict verdict = { rule->verdict, rule->target };
		const struct ruleset_step *map;
		unsigned now;
		bool back;

		if (walk->steps++ >= STEPS_MAX)
			return MAY_DO_ANYTHING;
		enum ruleset_certainty holds = inspect_rule_run(&walk->moment, rule, reach, &registers, &map);
		if (holds == RULESET_NO)
			continue;
		enum ruleset_certainty certainty = holds < reach ? holds : reach;
		if (rule->verdict != VERDICT_NONE || map)
			inspect_way_add(&walk->way,
					(uint64_t)(chain - walk->ruleset->items) << 32 | (uint64_t)i << 2 | holds);
		if (map)
			now = inspect_walk_map(walk, chain, rule, map, &registers, certainty, depth, &back);
		else
			now = inspect_walk_verdict(walk, chain, rule, &verdict, certainty, depth, &back);
		outcomes |= now;
		if (holds == RULESET_SURELY && !back)
			return outcomes;
		if (now & ~walk->wanted)
			reach = RULESET_PERHAPS;
	}
	return outcomes | MAY_GO_ON;
}

static bool inspect_walk_is_nat(const struct ruleset_chain *chain)
{
	return strcmp(chain->legacy ? chain->table : chain->type, "nat") == 0;
}

/* The outcomes of a base chain, without MAY_GO_ON. */
static unsigned inspect_walk_base(struct ruleset_walk *walk, const struct ruleset_chain *chain,
				  enum ruleset_certainty reach)
{
	const struct ruleset_state *state = walk->moment.state;
	bool nat = inspect_walk_is_nat(chain);

	/* Address translation asks for the first packet of a connection alone, and no further once it has an answer. */
	if (nat && (walk->moment.packet->established || state->untracked == RULESET_SURELY ||
		    state->altered == RULESET_SURELY))
		return MAY_ACCEPT;
	walk->moment.priority = chain->priority;
	unsigned outcomes = inspect_walk_chain(walk, chain, reach, 0);
	if (outcomes & walk->wanted && !walk->chain && !walk->perhaps_chain)
		inspect_walk_note(walk, chain, NULL, RULESET_PERHAPS);
	if (nat && state->untracked == RULESET_PERHAPS)
		outcomes |= MAY_ACCEPT;
	if (!(outcomes & MAY_GO_ON))
		return outcomes;
	outcomes &= ~(unsigned)MAY_GO_ON;
	if (!chain->drops)
		return outcomes | MAY_ACCEPT;
	if (walk->wanted == MAY_DROP)
		inspect_walk_note(walk, chain, NULL, outcomes & ~walk->wanted ? RULESET_PERHAPS : reach);
	return outcomes | MAY_DROP;
}

/* The base chain of HOOK that comes after LAST (NULL: the first). Of two with one priority the kernel runs the newer one first. */
static const struct ruleset_chain *inspect_walk_next(const struct ruleset *ruleset, enum ruleset_hook hook,
						     const struct ruleset_chain *last)
{
	const struct ruleset_chain *best = NULL;

	for (size_t i = 0; i < ruleset->count; i++) {
		const struct ruleset_chain *chain = &ruleset->items[i];
		if (chain->hook != hook)
			continue;
		bool after =
		    !last || chain->priority > last->priority || (chain->priority == last->priority && chain < last);
		if (after && (!best || chain->priority <= best->priority))
			best = chain;
	}
	return best;
}

static enum ruleset_certainty inspect_walk_hook(struct ruleset_walk *walk, enum ruleset_hook hook)
{
	const struct ruleset_chain *chain = NULL;
	enum ruleset_certainty reach = RULESET_SURELY;
	bool perhaps = false;

	walk->moment.hook = hook;
	while ((chain = inspect_walk_next(walk->ruleset, hook, chain))) {
		unsigned outcomes = inspect_walk_base(walk, chain, reach);
		perhaps = perhaps || outcomes & walk->wanted;
		if (!(outcomes & ~walk->wanted))
			return reach;
		if (outcomes & ~walk->wanted & MAY_DROP) {
			reach = RULESET_PERHAPS;
			if (!(outcomes & ~walk->wanted & ~(unsigned)MAY_DROP))
				break;
		}
		if (outcomes & MAY_REDIRECT && walk->moment.state->altered == RULESET_NO)
			walk->moment.state->altered =
			    outcomes & ~(unsigned)MAY_REDIRECT ? RULESET_PERHAPS : RULESET_SURELY;
	}
	return perhaps ? RULESET_PERHAPS : RULESET_NO;
}

/* The hook that a packet passed before it came to HOOK. */
static enum ruleset_hook inspect_walk_before(enum ruleset_hook hook, const struct ruleset_packet *packet)
{
	if (hook == HOOK_INPUT || hook == HOOK_FORWARD)
		return HOOK_PREROUTING;
	if (hook == HOOK_POSTROUTING)
		return packet->iif[0] ? HOOK_FORWARD : HOOK_OUTPUT;
	return HOOK_NONE;
}

/* Walks the hooks before HOOK for the marks that they leave, whatever else comes of it there. */
static void inspect_walk_up_to(struct ruleset_walk *walk, enum ruleset_hook hook)
{
	enum ruleset_hook before = inspect_walk_before(hook, walk->moment.packet);

	if (before == HOOK_NONE)
		return;
	inspect_walk_up_to(walk, before);
	inspect_walk_hook(walk, before);
}

struct ruleset_answer inspect_ruleset_ask(const struct ruleset *ruleset, enum ruleset_hook hook,
					  enum ruleset_verdict what, const struct ruleset_packet *packet)
{
	struct ruleset_state state;
	struct ruleset_walk walk = { .ruleset = ruleset,
				     .moment = { .ruleset = ruleset, .packet = packet, .state = &state },
				     .wanted = what == VERDICT_DROP ? MAY_DROP : MAY_REDIRECT };

	inspect_state_begin(&state, packet);
	inspect_walk_up_to(&walk, hook);
	walk.chain = walk.perhaps_chain = NULL;
	struct ruleset_answer answer = { .certainty = inspect_walk_hook(&walk, hook) };
	answer.way = walk.way;
	answer.elsewhere = walk.moment.elsewhere;
	if (answer.certainty == RULESET_NO)
		return answer;
	answer.chain = walk.chain ? walk.chain : walk.perhaps_chain;
	answer.rule = walk.chain ? walk.rule : walk.perhaps_rule;
	return answer;
}

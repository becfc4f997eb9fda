/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Walks a packet through the model. A condition holds, does not, or is uncertain. A rule whose conditions perhaps hold does not
 * move the packet, but makes later answers uncertain: after an accept that perhaps came first, a drop is a perhaps. Each base
 * chain is asked separately, because a drop in any of them is final, and an accept is not.
 */
#include "inspect/ruleset.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>

enum { DEPTH_MAX = 16 }; /* the kernel's limit of jumps */

enum ruleset_outcome {
	OUTCOME_CONTINUE, /* the end of the chain, or return */
	OUTCOME_OVER,     /* accepted, dropped or redirected: the end of this base chain */
};

struct ruleset_walk {
	const struct ruleset *ruleset;
	const struct ruleset_packet *packet;
	enum ruleset_verdict what;
	bool perhaps_over;            /* an uncertain accept, or another uncertain end, came before */
	struct ruleset_answer answer; /* the best so far */
};

void inspect_ruleset_clear(struct ruleset *ruleset)
{
	for (size_t i = 0; i < ruleset->count; i++)
		vec_free(&ruleset->items[i].rules);
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

/* Writes the bytes of the packet's FIELD as the kernel's registers would hold them. Returns their number; 0: unknown. */
static size_t inspect_ruleset_field_bytes(const struct ruleset_packet *packet, enum ruleset_field field,
					  uint8_t bytes[static 16])
{
	uint32_t number = 0;
	uint16_t port = htons(packet->port);

	memset(bytes, 0, 16);
	switch (field) {
	case FIELD_UNKNOWN:
	case FIELD_NEVER:
	case FIELD_MARK:
		return 0;
	case FIELD_IIFNAME:
	case FIELD_OIFNAME:
		strncpy((char *)bytes, field == FIELD_IIFNAME ? packet->iif : packet->oif, 15);
		return 16;
	case FIELD_NFPROTO:
	case FIELD_L4PROTO:
		bytes[0] = field == FIELD_NFPROTO ? NFPROTO_IPV4 : packet->protocol ? packet->protocol : IPPROTO_TCP;
		return 1;
	case FIELD_PORT:
		memcpy(bytes, &port, 2);
		return 2;
	case FIELD_SOURCE:
	case FIELD_DESTINATION:
		number = htonl(field == FIELD_SOURCE ? packet->source : packet->destination);
		break;
	case FIELD_IIFGROUP:
	case FIELD_OIFGROUP:
		number = field == FIELD_IIFGROUP ? packet->iif_group : packet->oif_group;
		break;
	case FIELD_IIF:
	case FIELD_OIF:
		number = field == FIELD_IIF ? packet->iif_index : packet->oif_index;
		break;
	case FIELD_ADDRESS_TYPE:
		/* Packets that leave by a link are not for the host itself. */
		number = packet->oif[0] ? RTN_UNICAST : RTN_LOCAL;
		break;
	case FIELD_CT_STATE:
		number = packet->established ? NF_CT_STATE_BIT(IP_CT_ESTABLISHED) : NF_CT_STATE_BIT(IP_CT_NEW);
		break;
	}
	memcpy(bytes, &number, 4);
	return 4;
}

static enum ruleset_certainty inspect_ruleset_match_holds(const struct ruleset_match *match,
							  const struct ruleset_packet *packet)
{
	uint8_t bytes[16];
	size_t known = inspect_ruleset_field_bytes(packet, match->field, bytes);
	bool same = true;

	if (match->field == FIELD_NEVER)
		return RULESET_NO;
	if (!known || match->offset + match->length > known)
		return RULESET_PERHAPS;
	for (size_t i = 0; i < match->length && same; i++)
		same = (bytes[match->offset + i] & match->mask[i]) == match->value[i];
	return same != match->differs ? RULESET_SURELY : RULESET_NO;
}

static enum ruleset_certainty inspect_ruleset_rule_holds(const struct ruleset_rule *rule,
							 const struct ruleset_packet *packet)
{
	enum ruleset_certainty all = RULESET_SURELY;

	for (size_t i = 0; i < rule->match_count; i++) {
		enum ruleset_certainty one = inspect_ruleset_match_holds(&rule->matches[i], packet);
		if (one < all)
			all = one;
	}
	return all;
}

/* Notes that the verdict asked for happens here. */
static void inspect_ruleset_note(struct ruleset_walk *walk, const struct ruleset_chain *chain,
				 const struct ruleset_rule *rule, enum ruleset_certainty certainty)
{
	if (certainty == RULESET_SURELY && walk->perhaps_over)
		certainty = RULESET_PERHAPS;
	if (certainty > walk->answer.certainty)
		walk->answer = (struct ruleset_answer){ certainty, chain, rule };
}

static enum ruleset_outcome inspect_ruleset_walk_chain(struct ruleset_walk *walk, const struct ruleset_chain *chain,
						       enum ruleset_certainty certainty, unsigned depth);

/* Follows a jump or goto. */
static enum ruleset_outcome inspect_ruleset_follow(struct ruleset_walk *walk, const struct ruleset_chain *chain,
						   const struct ruleset_rule *rule, enum ruleset_certainty certainty,
						   unsigned depth)
{
	const struct ruleset_chain *target = inspect_ruleset_find(walk->ruleset, chain, rule->target);

	if (!target || depth == DEPTH_MAX) {
		walk->perhaps_over = true;
		return OUTCOME_CONTINUE;
	}
	return inspect_ruleset_walk_chain(walk, target, certainty, depth + 1);
}

/* Applies a rule whose conditions hold, surely or perhaps. *END: the walk through this chain ends. */
static enum ruleset_outcome inspect_ruleset_apply(struct ruleset_walk *walk, const struct ruleset_chain *chain,
						  const struct ruleset_rule *rule, enum ruleset_certainty certainty,
						  unsigned depth, bool *end)
{
	bool sure = certainty == RULESET_SURELY;
	enum ruleset_outcome outcome = OUTCOME_CONTINUE;

	*end = false;
	switch (rule->verdict) {
	case VERDICT_NONE:
		break;
	case VERDICT_JUMP:
	case VERDICT_GOTO:
		outcome = inspect_ruleset_follow(walk, chain, rule, certainty, depth);
		*end = sure && (rule->verdict == VERDICT_GOTO || outcome != OUTCOME_CONTINUE);
		break;
	case VERDICT_RETURN:
		/* A rule that perhaps returns ends this chain perhaps, but not the packet's way. */
		*end = sure;
		walk->perhaps_over = walk->perhaps_over || !sure;
		break;
	case VERDICT_UNKNOWN:
		walk->perhaps_over = true;
		break;
	case VERDICT_ACCEPT:
	case VERDICT_DROP:
	case VERDICT_REDIRECT:
		*end = sure;
		outcome = OUTCOME_OVER;
		if (rule->verdict == walk->what)
			inspect_ruleset_note(walk, chain, rule, certainty);
		else
			walk->perhaps_over = walk->perhaps_over || !sure;
		break;
	}
	return outcome;
}

static enum ruleset_outcome inspect_ruleset_walk_chain(struct ruleset_walk *walk, const struct ruleset_chain *chain,
						       enum ruleset_certainty certainty, unsigned depth)
{
	for (size_t i = 0; i < chain->rules.count; i++) {
		const struct ruleset_rule *rule = &chain->rules.items[i];
		enum ruleset_certainty holds = inspect_ruleset_rule_holds(rule, walk->packet);
		bool end;
		if (holds == RULESET_NO)
			continue;
		if (certainty < holds)
			holds = certainty;
		enum ruleset_outcome outcome = inspect_ruleset_apply(walk, chain, rule, holds, depth, &end);
		if (end)
			return outcome;
	}
	return OUTCOME_CONTINUE;
}

struct ruleset_answer inspect_ruleset_ask(const struct ruleset *ruleset, enum ruleset_hook hook,
					  enum ruleset_verdict what, const struct ruleset_packet *packet)
{
	struct ruleset_answer best = { .certainty = RULESET_NO };

	for (size_t i = 0; i < ruleset->count && best.certainty != RULESET_SURELY; i++) {
		const struct ruleset_chain *chain = &ruleset->items[i];
		struct ruleset_walk walk = { .ruleset = ruleset, .packet = packet, .what = what };
		if (chain->hook != hook || strcmp(chain->table, "weft") == 0)
			continue;
		enum ruleset_outcome outcome = inspect_ruleset_walk_chain(&walk, chain, RULESET_SURELY, 0);
		if (outcome == OUTCOME_CONTINUE && what == VERDICT_DROP && chain->drops)
			inspect_ruleset_note(&walk, chain, NULL, RULESET_SURELY);
		if (walk.answer.certainty > best.certainty)
			best = walk.answer;
	}
	return best;
}

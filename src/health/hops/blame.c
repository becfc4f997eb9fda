/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A packet that was lost on the host tells nobody where. So the rules of other programs are read, and the one that drops or redirects
 * such a packet is named. That happens only when something was lost, because a host may have many thousand rules.
 */
#include "health/filter.h"
#include "health/walk.h"

/* The best of the answers; *WHICH: to which suspicion. */
static struct ruleset_answer hop_blame_ask(const struct ruleset *ruleset, const struct hop_suspicion *suspicions,
					   size_t count, size_t *which)
{
	struct ruleset_answer best = { .certainty = RULESET_NO };

	*which = 0;
	for (size_t i = 0; i < count; i++) {
		struct ruleset_answer answer =
		    inspect_ruleset_ask(ruleset, suspicions[i].hook, suspicions[i].verdict, &suspicions[i].packet);
		if (answer.certainty <= best.certainty)
			continue;
		best = answer;
		*which = i;
	}
	return best;
}

static void hop_blame_tell(struct walk *walk, const char *what, const struct ruleset *ruleset,
			   const struct hop_suspicion *suspicion, const struct ruleset_answer *answer)
{
	bool redirected = suspicion->verdict == VERDICT_REDIRECT;
	char where[HEALTH_FILTER_TEXT_SIZE], command[256];

	walk_cause(walk, "%s are %s%s in %.200s", what, answer->certainty == RULESET_SURELY ? "" : "perhaps ",
		   redirected ? "redirected" : "dropped", health_filter_name(answer, where));
	if (redirected)
		health_filter_exempt(walk->request->config, &suspicion->packet, answer, command, sizeof(command));
	else
		health_filter_let_through(ruleset, walk->request->config, suspicion->hook, &suspicion->packet,
					  answer->chain, command, sizeof(command));
	walk_next_step(walk, "%s%s", redirected ? "" : "let them through: ", command);
}

bool hop_blame(struct walk *walk, const char *what, const struct hop_suspicion *suspicions, size_t count, bool sure)
{
	struct ruleset ruleset = { 0 };
	struct err ignored;
	bool found = false;
	size_t which;

	if (inspect_ruleset_read(&ruleset, &ignored) == 0) {
		struct ruleset_answer answer = hop_blame_ask(&ruleset, suspicions, count, &which);
		found = answer.certainty == RULESET_SURELY || (!sure && answer.certainty == RULESET_PERHAPS);
		if (found)
			hop_blame_tell(walk, what, &ruleset, &suspicions[which], &answer);
	}
	inspect_ruleset_clear(&ruleset);
	return found;
}

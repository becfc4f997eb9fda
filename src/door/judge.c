/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "door/judge.h"

/* How long it takes says nothing of where the hashes differ: no byte decides about a branch, and VOLATILE keeps it so. */
static bool door_judge_is_same(const uint8_t a[static DOOR_TOKEN_SIZE], const uint8_t b[static DOOR_TOKEN_SIZE])
{
	volatile uint8_t different = 0;

	for (size_t i = 0; i < DOOR_TOKEN_SIZE; i++)
		different = different | (a[i] ^ b[i]);
	return different == 0;
}

/* What the policy says of PORT: its own rule, or that of all others. */
static enum door_access door_judge_access(const struct door_policy *policy, uint16_t port)
{
	enum door_access access = policy->is_public ? DOOR_ACCESS_PUBLIC : DOOR_ACCESS_TOKEN;

	for (size_t i = 0; i < policy->port_count; i++) {
		if (policy->ports[i].port == port)
			access = policy->ports[i].access;
	}
	if (port == DOOR_FREE_PORT && access == DOOR_ACCESS_TOKEN)
		return DOOR_ACCESS_PUBLIC;
	return access;
}

enum door_verdict door_judge(const struct door_policy *policy, uint16_t port, const struct door_token *token)
{
	switch (door_judge_access(policy, port)) {
	case DOOR_ACCESS_PUBLIC:
		return DOOR_LET_IN;
	case DOOR_ACCESS_CLOSED:
		return DOOR_SHUT;
	case DOOR_ACCESS_TOKEN:
		break;
	}
	if (!token->given)
		return DOOR_NO_TOKEN;
	/* Without a token of the sandbox's own all are wrong, that of zeroes too. */
	return policy->has_token && door_judge_is_same(policy->token_sha256, token->sha256) ? DOOR_LET_IN
											    : DOOR_WRONG_TOKEN;
}

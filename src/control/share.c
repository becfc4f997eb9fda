/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A holder is a caller that holds something, with its count; it comes with the first and goes with the last. There are at most as
 * many holders as there is to hold, a thousand, so they are one list.
 */
#include "control/share.h"

#include "base/addr.h"
#include "base/assert.h"
#include "base/queue.h"
#include "http/gate.h"
#include "registry/problem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct control_holder {
	LIST_ENTRY(control_holder) next;
	struct control_share *share;
	struct control_caller caller;
	size_t count;
};

struct control_share {
	const struct control_share_limits *limits;
	LIST_HEAD(, control_holder) holders;
	size_t local, remote; /* in use */
	size_t others;        /* of local, those of users other than root */
};

struct control_caller control_caller_of(const struct http_request *request)
{
	struct control_caller caller = { .local = request->has_creds, .uid = request->uid };
	struct addr addr = { 0 };
	socklen_t size = sizeof(addr);

	if (caller.local || getpeername(request->fd, &addr.any, &size) < 0)
		return caller;
	caller.network[0] = (uint8_t)addr.any.sa_family;
	if (addr.any.sa_family == AF_INET6)
		memcpy(caller.network + 1, &addr.in6.sin6_addr, 8);
	else
		memcpy(caller.network + 1, &addr.in.sin_addr, sizeof(addr.in.sin_addr));
	return caller;
}

struct control_share *control_share_new(const struct control_share_limits *limits)
{
	struct control_share *share = calloc(1, sizeof(*share));

	if (!share)
		return NULL;
	share->limits = limits;
	LIST_INIT(&share->holders);
	return share;
}

void control_share_free(struct control_share *share)
{
	base_assert(!share || LIST_EMPTY(&share->holders));
	free(share);
}

static bool control_caller_is_root(const struct control_caller *caller)
{
	return caller->local && (caller->uid == 0 || caller->uid == geteuid());
}

static bool control_caller_equals(const struct control_caller *a, const struct control_caller *b)
{
	if (a->local != b->local)
		return false;
	return a->local ? a->uid == b->uid : memcmp(a->network, b->network, sizeof(a->network)) == 0;
}

static struct control_holder *control_share_find(struct control_share *share, const struct control_caller *caller)
{
	struct control_holder *holder;

	LIST_FOREACH(holder, &share->holders, next)
	if (control_caller_equals(&holder->caller, caller))
		return holder;
	return NULL;
}

/* Whether CALLER, who holds HELD, may have one more over TCP. 0, or -1 with PROBLEM. */
static int control_share_check_remote(const struct control_share *share, size_t held, struct problem *problem)
{
	const struct control_share_limits *limits = share->limits;

	if (held >= limits->remote_each)
		return registry_problem_set(problem, PROBLEM_TOO_MANY, NULL, "this address has %zu %s already", held,
					    limits->what);
	if (share->remote >= limits->remote)
		return registry_problem_set(problem, PROBLEM_TOO_MANY, NULL, "there are %zu %s over TCP already",
					    share->remote, limits->what);
	return 0;
}

/* The same over the unix socket. */
static int control_share_check_local(const struct control_share *share, const struct control_caller *caller,
				     size_t held, struct problem *problem)
{
	const struct control_share_limits *limits = share->limits;
	size_t for_others = limits->local - limits->root_only;

	if (share->local >= limits->local)
		return registry_problem_set(problem, PROBLEM_UNAVAILABLE, NULL, "there are %zu %s already",
					    share->local, limits->what);
	if (control_caller_is_root(caller))
		return 0;
	if (held >= for_others / 2)
		return registry_problem_set(problem, PROBLEM_UNAVAILABLE, NULL, "the user %u has %zu %s already",
					    caller->uid, held, limits->what);
	if (share->others >= for_others)
		return registry_problem_set(problem, PROBLEM_UNAVAILABLE, NULL,
					    "there are %zu %s of users other than root already", share->others,
					    limits->what);
	return 0;
}

static void control_share_count(struct control_holder *holder, int change)
{
	struct control_share *share = holder->share;
	size_t difference = (size_t)change; /* modulo, if it is -1 */

	holder->count += difference;
	if (!holder->caller.local)
		share->remote += difference;
	else
		share->local += difference;
	if (holder->caller.local && !control_caller_is_root(&holder->caller))
		share->others += difference;
}

struct control_holder *control_share_take(struct control_share *share, const struct control_caller *caller,
					  struct problem *problem)
{
	struct control_holder *holder = control_share_find(share, caller);
	size_t held = holder ? holder->count : 0;
	int allowed = caller->local ? control_share_check_local(share, caller, held, problem)
				    : control_share_check_remote(share, held, problem);

	if (allowed < 0)
		return NULL;
	if (!holder) {
		holder = calloc(1, sizeof(*holder));
		if (!holder) {
			registry_problem_no_memory(problem);
			return NULL;
		}
		holder->share = share;
		holder->caller = *caller;
		LIST_INSERT_HEAD(&share->holders, holder, next);
	}
	control_share_count(holder, 1);
	return holder;
}

void control_share_give_back(struct control_holder *holder)
{
	control_share_count(holder, -1);
	if (holder->count)
		return;
	LIST_REMOVE(holder, next);
	free(holder);
}

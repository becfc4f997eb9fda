/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The records of slots, found by number and by the number of their namespace in netlink messages. The latter is at most
 * NAMESPACE_ID_MAX and given out densely, so an array serves, of which only what is used takes memory; an entry is overwritten
 * when another namespace gets the number, whatever order the messages about it came in.
 */
#include "fabric/state.h"

#include "base/err.h"
#include "fabric/slot/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

struct slot *slot_find(const struct fabric *fabric, unsigned number)
{
	return number >= 1 && number <= CONFIG_SLOT_MAX ? fabric->slots[number] : NULL;
}

/* The timer needs both; a slot alone does not know its fabric. */
struct slot_timer {
	struct slot slot; /* first */
	struct fabric *fabric;
};

static void on_patience(void *context)
{
	struct slot_timer *holder = context;

	holder->slot.out_of_patience(holder->fabric, &holder->slot);
}

struct slot *slot_new(struct fabric *fabric, unsigned number, enum slot_phase phase)
{
	struct slot_timer *holder = calloc(1, sizeof(*holder));
	struct err ignored;

	if (!holder)
		return NULL;
	holder->fabric = fabric;
	holder->slot.number = number;
	holder->slot.phase = phase;
	holder->slot.netns_fd = -1;
	holder->slot.nsid = -1;
	holder->slot.carrier_downs = CARRIER_DOWNS_UNKNOWN;
	if (timer_init(&holder->slot.patience, fabric->base, on_patience, holder, &ignored) < 0) {
		free(holder);
		return NULL;
	}
	fabric->slots[number] = &holder->slot;
	return &holder->slot;
}

void slot_forget(struct fabric *fabric, struct slot *slot)
{
	if (slot->nsid >= 0 && fabric->by_nsid[slot->nsid] == slot->number)
		fabric->by_nsid[slot->nsid] = 0;
	if (fabric->patrol)
		patrol_forget(fabric->patrol, slot);
	plan_share_release(slot->plan);
	plan_share_release(slot->claimed);
	timer_free(&slot->patience);
	fabric->slots[slot->number] = NULL;
	free(slot);
}

struct slot *slot_by_nsid(const struct fabric *fabric, int nsid)
{
	if (nsid < 0 || nsid > NAMESPACE_ID_MAX)
		return NULL;
	return slot_find(fabric, fabric->by_nsid[nsid]);
}

int slot_set_nsid(struct fabric *fabric, struct slot *slot, int nsid)
{
	if (slot->nsid >= 0 && fabric->by_nsid[slot->nsid] == slot->number)
		fabric->by_nsid[slot->nsid] = 0;
	slot->nsid = -1;
	if (nsid < 0 || nsid > NAMESPACE_ID_MAX)
		return nsid < 0 ? 0 : -1;
	fabric->by_nsid[nsid] = (uint16_t)slot->number;
	slot->nsid = nsid;
	return 0;
}

int slot_open_netns(const struct fabric *fabric, const struct slot *slot, struct err *err)
{
	char path[CONFIG_PATH_SIZE];
	struct namespace_key key = namespace_key_of(slot->netns_fd);

	/* The caller may have closed its descriptor, and the number may be somebody else's by now. */
	if (namespace_key_equal(&key, &slot->key)) {
		int fd = fcntl(slot->netns_fd, F_DUPFD_CLOEXEC, 0);
		return fd < 0 ? err_set(err, errno, "namespace of slot %u", slot->number) : fd;
	}
	return namespace_open_known(config_netns_path(fabric->config, slot->number, path), &slot->key, err);
}

const char *slot_sandbox(const struct slot *slot)
{
	return slot->plan && slot->plan->plan->id ? slot->plan->plan->id : "";
}

struct plan_share *plan_share_new(const struct fabric_plan *plan)
{
	struct plan_share *share = calloc(1, sizeof(*share));

	if (!share)
		return NULL;
	share->plan = plan_copy(plan);
	share->users = 1;
	if (share->plan)
		return share;
	free(share);
	return NULL;
}

struct plan_share *plan_share_hold(struct plan_share *share)
{
	share->users++;
	return share;
}

void plan_share_release(struct plan_share *share)
{
	if (!share || --share->users)
		return;
	plan_free(share->plan);
	free(share);
}

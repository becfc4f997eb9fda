/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The records of slots, found by number and by the number of their namespace in netlink messages. The latter is at most
 * NAMESPACE_ID_MAX and given out densely, so an array serves, of which only the used part takes memory. An entry is overwritten
 * when another namespace gets the number, whatever order the messages about it came in.
 */
#include "fabric/slot.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/spares.h"
#include "config/config.h"
#include "fabric/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

struct slot *fabric_slot_find(const struct fabric *fabric, unsigned number)
{
	return number >= 1 && number <= CONFIG_SLOT_MAX ? fabric->slots[number] : NULL;
}

static void fabric_slot_on_timeout(void *context)
{
	struct slot *slot = context;

	slot->timed_out(slot);
}

struct slot *fabric_slot_new(struct fabric *fabric, unsigned number, const struct config_layout *layout)
{
	struct slot *slot = calloc(1, sizeof(*slot));
	struct err ignored;

	if (!slot)
		return NULL;
	slot->fabric = fabric;
	slot->number = number;
	slot->layout = config_layout_or_new(fabric->config, layout);
	fabric_trouble_init(slot);
	slot->netns_fd = -1;
	slot->nsid = -1;
	slot->carrier_downs = CARRIER_DOWNS_UNKNOWN;
	if (timer_init(&slot->timeout, fabric->base, fabric_slot_on_timeout, slot, &ignored) < 0) {
		free(slot);
		return NULL;
	}
	fabric->slots[number] = slot;
	return slot;
}

/* From now on it is found neither by its number nor by its namespace's. */
static void fabric_slot_unlist(struct slot *slot)
{
	struct fabric *fabric = slot->fabric;

	fabric_slot_set_nsid(slot, -1);
	if (fabric->slots[slot->number] == slot)
		fabric->slots[slot->number] = NULL;
}

void fabric_slot_free(struct slot *slot)
{
	fabric_slot_unlist(slot);
	fabric_trouble_drop(slot);
	slot_plan_share_release(slot->plan);
	slot_plan_share_release(slot->claimed);
	timer_free(&slot->timeout);
	free(slot);
}

void fabric_slot_forget(struct slot *slot, const char *cause)
{
	/* A listener may have the number used again. */
	fabric_slot_unlist(slot);
	slot_become(slot, SLOT_GONE, cause);
	fabric_slot_free(slot);
}

struct slot *fabric_slot_by_nsid(const struct fabric *fabric, int nsid)
{
	if (nsid < 0 || nsid > NAMESPACE_ID_MAX)
		return NULL;
	return fabric_slot_find(fabric, fabric->by_nsid[nsid]);
}

int fabric_slot_set_nsid(struct slot *slot, int nsid)
{
	struct fabric *fabric = slot->fabric;

	if (slot->nsid >= 0 && fabric->by_nsid[slot->nsid] == slot->number)
		fabric->by_nsid[slot->nsid] = 0;
	slot->nsid = -1;
	if (nsid < 0 || nsid > NAMESPACE_ID_MAX)
		return nsid < 0 ? 0 : -1;
	fabric->by_nsid[nsid] = (uint16_t)slot->number;
	slot->nsid = nsid;
	return 0;
}

int fabric_slot_open_netns(const struct slot *slot, struct err *err)
{
	char path[CONFIG_PATH_SIZE];
	AUTO_FD int fd = SPARES_TRY(fcntl(slot->netns_fd, F_DUPFD_CLOEXEC, 0));
	struct kern_namespace_key key;

	if (fd < 0 && errno != EBADF)
		return err_set(err, errno, "namespace of slot %u", slot->number);
	/*
	 * The caller may have closed its descriptor, and another file of ours may have its number by now, or get it at any moment: so
	 * it is the copy that is looked at.
	 */
	key = kern_namespace_key_of(fd);
	if (kern_namespace_key_equal(&key, &slot->key))
		return steal_fd(&fd);
	return kern_namespace_open_known(config_netns_path(slot->layout, slot->number, path), &slot->key, err);
}

struct fabric_slot fabric_slot_result(const struct slot *slot, int netns_fd)
{
	return (struct fabric_slot){
		.slot = slot->number,
		.netns_fd = netns_fd,
		.netns_device = slot->key.device,
		.netns_inode = slot->key.inode,
		.carrier = slot->carrier,
		.carrier_downs = fabric_slot_carrier_downs(slot->carrier_downs),
		.mtu = slot->mtu,
		.failure = slot->failure,
	};
}

const char *fabric_slot_sandbox(const struct slot *slot)
{
	return slot->plan && slot->plan->plan->id[0] ? slot->plan->plan->id : NULL;
}

void fabric_slot_start_timeout(struct slot *slot, uint64_t delay_ms, void (*timed_out)(struct slot *slot))
{
	slot->teardown_waits = false;
	slot->timed_out = timed_out;
	timer_start(&slot->timeout, delay_ms);
}

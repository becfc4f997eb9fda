/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets that wake a sandbox. The last chain that they pass on the host hands the first of each flow to NFLOG. There, packets of the host's
 * own clients and of others take the same way, and all have the sandbox's own address. A packet goes on all the same: a guest that is only
 * frozen finds it in the TAP's queue.
 *
 * Whether a packet begins a flow is tested before any set is looked up, so packets of flows that go on cost a few comparisons, whoever
 * sleeps. The sets have no intervals, because with thousands of elements the kernel takes up to 20 ms to delete from a set that has. A packet
 * that is lost to the limits, or to a listener that cannot follow, is only a hint; the client sends again.
 */
#include "base/cleanup.h"
#include "base/err.h"
#include "config/config.h"
#include "config/layouts.h"
#include "fabric/rules/host_rules.h"
#include "fabric/rules/policy.h"
#include "fabric/rules/rules.h"
#include "kernel/packet_log.h"
#include "nft/expr.h"
#include "nft/read.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>
#include <stdatomic.h>

enum {
	/* Reports a second: for one source, for one sandbox, and for all together, so that a flood at one leaves room for others. */
	SOURCE_REPORTS = 20,
	SANDBOX_REPORTS = 100,
	ALL_REPORTS = 2000,
	METER_KEPT_MS = 10 * 1000,
	SOURCES_MAX = 8192, /* at once; those beyond have only the other two limits */
};

const struct nft_set set_asleep = { .name = "asleep", .key = NFT_KEY_ADDRESS };
const struct nft_set set_asleep_any = { .name = "asleep_any", .key = NFT_KEY_ADDRESS };
const struct nft_set set_wake_ports = { .name = "wake_ports", .key = NFT_KEY_ADDRESS | NFT_KEY_PROTO | NFT_KEY_PORT };
static const struct nft_set set_wake_sources = { .name = "wake_sources",
						 .key = NFT_KEY_ADDRESS,
						 .timeout_ms = METER_KEPT_MS,
						 .size = SOURCES_MAX,
						 .packets_a_second = SOURCE_REPORTS };
static const struct nft_set set_wake_targets = { .name = "wake_targets",
						 .key = NFT_KEY_ADDRESS,
						 .timeout_ms = METER_KEPT_MS,
						 .size = CONFIG_SLOT_MAX + 1,
						 .packets_a_second = SANDBOX_REPORTS };

/* The sets of what sleeps, in the order of struct wake_elements. */
static const struct nft_set *const wake_sets[] = { &set_asleep, &set_asleep_any, &set_wake_ports };
enum { WAKE_SETS = sizeof(wake_sets) / sizeof(wake_sets[0]) };

struct wake_elements {
	struct rules_elements of[WAKE_SETS];
};

/* Written by the thread that makes the table, of which there is one at a time. */
static atomic_bool cannot_log;

void rules_wake_can_log(bool can)
{
	atomic_store(&cannot_log, !can);
}

void rules_wake_add(struct nft_batch *batch, const struct config *config)
{
	static const struct nft_hook hook = { NFT_CHAIN_FILTER, NF_INET_POST_ROUTING, NF_IP_PRI_FILTER + 10, false,
					      NULL };
	uint32_t groups[CONFIG_LAYOUTS_MAX];
	size_t count = config_layout_groups(config, groups);

	for (size_t i = 0; i < WAKE_SETS; i++)
		nft_set_add(batch, wake_sets[i]);
	nft_set_add(batch, &set_wake_sources);
	nft_set_add(batch, &set_wake_targets);

	nft_chain_add(batch, "wake_report", NULL, NULL);
	RULE(batch, "wake_report", act_record_source(batch, &set_wake_sources), verdict_accept(batch));
	RULE(batch, "wake_report", act_record_destination(batch, &set_wake_targets), verdict_accept(batch));
	RULE(batch, "wake_report", match_packets_over(batch, ALL_REPORTS, ALL_REPORTS), verdict_accept(batch));
	if (!atomic_load(&cannot_log))
		RULE(batch, "wake_report", act_log(batch, "weft-wake", KERN_WAKE_GROUP, KERN_WAKE_BYTES));

	nft_chain_add(batch, "wake_asked", NULL, NULL);
	RULE(batch, "wake_asked", match_destination_in(batch, NFT_IS_NOT, &set_asleep), verdict_accept(batch));
	RULE(batch, "wake_asked", match_destination_in(batch, NFT_IS, &set_asleep_any),
	     verdict_goto(batch, "wake_report"));
	RULE(batch, "wake_asked", match_destination_in(batch, NFT_IS, &set_wake_ports),
	     verdict_goto(batch, "wake_report"));

	nft_chain_add(batch, "wake", &hook, NULL);
	for (size_t i = 0; i < count; i++) {
		RULE(batch, "wake", match_oifgroup(batch, NFT_IS, groups[i]), match_tcp_first(batch, NFT_IS),
		     verdict_goto(batch, "wake_asked"));
		RULE(batch, "wake", match_oifgroup(batch, NFT_IS, groups[i]), match_l4proto(batch, NFT_IS, IPPROTO_UDP),
		     match_ct_state(batch, NFT_CT_STATE_NEW), verdict_goto(batch, "wake_asked"));
	}
}

/* ---- Elements ---- */

static bool rules_wake_is_any(const struct fabric_wake *wake)
{
	return wake && (wake->any || wake->count);
}

/* Appends the elements by which WAKE wakes the sandbox of HOST_IP. 0, or -1 without memory. */
static int rules_wake_put(struct wake_elements *elements, uint32_t host_ip, const struct fabric_wake *wake)
{
	const struct nft_element whole = { .first = host_ip, .last = host_ip };

	if (!rules_wake_is_any(wake))
		return 0;
	for (size_t i = 0; i < WAKE_SETS - 1u; i++) {
		struct nft_element *element = i && !wake->any ? NULL : vec_push(&elements->of[i]);

		if (element)
			*element = whole;
		else if (!i || wake->any)
			return -1;
	}
	for (size_t i = 0; i < wake->count && !wake->any; i++) {
		struct nft_element *element = vec_push(&elements->of[WAKE_SETS - 1]);

		if (!element)
			return -1;
		*element = whole;
		element->proto = rules_ip_proto(wake->ports[i].proto);
		element->port = wake->ports[i].port;
	}
	return 0;
}

static void rules_wake_free(struct wake_elements *elements)
{
	for (size_t i = 0; i < WAKE_SETS; i++)
		vec_free(&elements->of[i]);
}

/* Makes HAS of the sets WANTED. Returns how many elements are added, or -1 with ERR. */
static ssize_t rules_wake_change(struct wake_elements *has, struct wake_elements *wanted, struct err *err)
{
	struct nft_batch batch;
	size_t added = 0;
	int status = 0;

	nft_batch_begin(&batch, NFPROTO_INET);
	for (size_t i = 0; i < WAKE_SETS; i++)
		added += rules_host_change_set(&batch, wake_sets[i], &has->of[i], &wanted->of[i]);
	if (batch.messages || batch.broken)
		status = nft_batch_send(&batch, -1, err);
	nft_batch_free(&batch);
	return status < 0 ? -1 : (ssize_t)added;
}

/* Reads what the sets have of HOST_IP; 0: of all. */
static int rules_wake_read(struct wake_elements *has, uint32_t host_ip, struct err *err)
{
	for (size_t i = 0; i < WAKE_SETS; i++) {
		struct rules_elements *elements = &has->of[i];
		size_t kept = 0;

		if (rules_host_read_set(wake_sets[i], elements, err) < 0)
			return -1;
		for (size_t at = 0; host_ip && at < elements->count; at++)
			if (elements->items[at].first == host_ip)
				elements->items[kept++] = elements->items[at];
		if (host_ip)
			elements->count = kept;
	}
	return 0;
}

/* Makes the sets WANTED, those of HOST_IP, or all with 0, whatever they have. Returns how many were missing, or -1 with ERR. */
static ssize_t rules_wake_replace(uint32_t host_ip, struct wake_elements *wanted, struct err *err)
{
	ssize_t added = -1;

	/* Others change the sets, too: what was read may be gone. */
	for (unsigned i = 0; added < 0 && i < NFT_ATTEMPTS; i++) {
		struct wake_elements has = { 0 };

		if (rules_wake_read(&has, host_ip, err) == 0)
			added = rules_wake_change(&has, wanted, err);
		else
			i = NFT_ATTEMPTS;
		rules_wake_free(&has);
		if (added < 0 && err->code != ENOENT)
			break;
	}
	return added;
}

int rules_host_wake(const struct config_layout *layout, unsigned slot, const struct fabric_wake *former,
		    const struct fabric_wake *wake, struct err *err)
{
	struct wake_elements has = { 0 }, wanted = { 0 };
	uint32_t host_ip = config_host_ip(layout, slot);
	ssize_t added = -1;

	if (rules_wake_put(&has, host_ip, former) < 0 || rules_wake_put(&wanted, host_ip, wake) < 0)
		err_set(err, ENOMEM, "no memory");
	else
		added = rules_wake_change(&has, &wanted, err);
	if (added < 0 && err->code == ENOENT)
		added = rules_wake_replace(host_ip, &wanted, err);
	rules_wake_free(&has);
	rules_wake_free(&wanted);
	return added < 0 ? err_wrap(err, "what wakes slot %u", slot) : 0;
}

int rules_host_wake_forget(const struct config_layout *layout, unsigned slot, struct err *err)
{
	const struct nft_element element = { .first = config_host_ip(layout, slot),
					     .last = config_host_ip(layout, slot) };
	struct wake_elements none = { 0 };
	struct nft_range range;
	AUTO_FD int fd = nft_socket(-1, err);
	int found = fd < 0 ? -1 : nft_read_find(fd, NFPROTO_INET, &set_asleep, &element, &range, err);

	if (found > 0 && rules_wake_replace(element.first, &none, err) < 0)
		found = -1;
	return found < 0 ? err_wrap(err, "what wakes slot %u", slot) : 0;
}

int rules_host_wake_review(const struct config *config, const struct fabric_plan *const *plans, size_t count,
			   size_t *lost, struct err *err)
{
	struct wake_elements wanted = { 0 };
	ssize_t added = 0;

	for (size_t i = 0; i < count && added == 0; i++)
		if (rules_wake_put(&wanted,
				   config_host_ip(config_layout_or_new(config, plans[i]->layout), plans[i]->slot),
				   plans[i]->wake) < 0)
			added = err_set(err, ENOMEM, "no memory");
	if (added == 0)
		added = rules_wake_replace(0, &wanted, err);
	rules_wake_free(&wanted);
	*lost = added < 0 ? 0 : (size_t)added;
	return added < 0 ? err_wrap(err, "what wakes sandboxes") : 0;
}

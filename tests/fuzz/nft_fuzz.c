/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as the kernel's answers about our own tables. The first byte selects the reader, the others are datagrams (see
 * fake_kernel.h). A reader fails with a reason, or its answer keeps its own promises.
 */
#include "base/err.h"
#include "fabric/rules/rules.h"
#include "fake_kernel.h"
#include "fuzz_config.h"
#include "nft/read.h"

#include <linux/netfilter.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <unistd.h>

static const struct fabric_plan plan = { .slot = 1, .id = "a" };
static struct config *config;

static void take_element(void *context, const struct nft_read_element *read)
{
	(void)context;
	(void)read;
}

static int read_sets(struct err *err)
{
	static const struct nft_set sets[] = {
		{ .name = "addresses", .key = NFT_KEY_ADDRESS, .interval = true },
		{ .name = "published", .key = NFT_KEY_PROTO | NFT_KEY_PORT, .map = true },
		{ .name = "denied",
		  .key = NFT_KEY_LINK | NFT_KEY_ADDRESS | NFT_KEY_PROTO | NFT_KEY_PORT | NFT_KEY_MARK,
		  .timeout_ms = 60000,
		  .size = 128 },
	};

	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
		if (nft_read_elements(-1, NFPROTO_INET, &sets[i], take_element, NULL, err) < 0)
			return -1;
	return 0;
}

static int find_element(struct err *err)
{
	static const struct nft_set set = { .name = "allow", .key = NFT_KEY_ADDRESS, .interval = true, .count = true };
	const struct nft_element wanted = { .first = 0x0a0b0001 };
	struct nft_range range;
	int fd = nft_socket(-1, err);
	int result;

	fuzz_check(fd >= 0);
	result = nft_read_find(fd, NFPROTO_INET, &set, &wanted, &range, err);
	close(fd);
	return result < 0 ? -1 : 0;
}

static int check_slot(struct err *err)
{
	bool intact;

	return rules_slot_check(-1, config, &plan, &intact, err);
}

static int check_host(struct err *err)
{
	bool intact;

	return rules_host_check(config, &intact, err);
}

static void take_denial(void *context, const struct fabric_denial *denial)
{
	(void)context;
	fuzz_check(memchr(denial->rule, 0, sizeof(denial->rule)) && memchr(denial->proto, 0, sizeof(denial->proto)));
}

static void take_host_denial(void *context, int link, const struct fabric_denial *denial)
{
	(void)link;
	take_denial(context, denial);
}

static int read_denials(struct err *err)
{
	uint64_t since_ms = 0;

	if (rules_slot_denials(-1, &since_ms, take_denial, NULL, err) < 0)
		return -1;
	return rules_host_denials(&since_ms, take_host_denial, NULL, err);
}

static int read_counts(struct err *err)
{
	const int links[] = { 1, 2, 0 };
	uint64_t denied[FABRIC_RULES], drops[3];
	struct fabric_counts counts = { 0 };
	uint32_t generation;

	if (rules_slot_counts(-1, &counts, err) < 0 || rules_host_counts(denied, err) < 0 ||
	    rules_host_drops(links, drops, 3, err) < 0)
		return -1;
	if (rules_generation(-1, &generation, err) < 0)
		return -1;
	fuzz_check(generation);
	return 0;
}

static int reach(struct err *err)
{
	struct fabric_reach answer;

	return rules_slot_reach(-1, config, &config->layout, 0x0a0b0001, IPPROTO_TCP, 443, &answer, err);
}

static int publish(struct err *err)
{
	const struct fabric_nat nat = { .guest_port = 80 };

	return rules_host_publish(&config->layout, 1, &nat, 1, err);
}

static int repair_slot(struct err *err)
{
	return rules_slot_repair(-1, config, &plan, NULL, err);
}

/* One that sleeps, whose number is read first; and what of all that sleep the host has. */
static int check_asleep(struct err *err)
{
	static const struct fabric_wake any_port = { .any = true };
	const struct fabric_plan asleep = { .slot = 1, .id = "a", .paused = true, .wake = &any_port };
	const struct fabric_plan *const plans[] = { &asleep };
	bool intact;
	size_t lost;

	if (rules_slot_check(-1, config, &asleep, &intact, err) < 0)
		return -1;
	return rules_host_wake_review(config, plans, 1, &lost, err);
}

static int read_activity(struct err *err)
{
	uint64_t packets = 0;

	return rules_slot_activity(-1, &packets, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int (*const readers[])(struct err *) = { read_sets,    find_element, check_slot,   check_host,
							read_denials, read_counts,  reach,        publish,
							repair_slot,  check_asleep, read_activity };
	struct err err = { 0 };

	if (!size)
		return 0;
	config = fuzz_config();
	if (fake_kernel_run(data + 1, size - 1) && readers[data[0] % (sizeof(readers) / sizeof(readers[0]))](&err) < 0)
		fuzz_check(err.text[0]);
	fake_kernel_stop();
	return 0;
}

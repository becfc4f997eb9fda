/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables of every kind of thing, each altered, added or removed by nft(8) in turn. */
#include "unit/nft_lab.h"
#include "unit/run_suite.h"

#include "base/err.h"
#include "nft/check.h"
#include "nft/expr.h"

#include <check.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>
#include <stdlib.h>

#define IP(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))
#define OK(call)       ck_assert_msg((call) == 0, "%s", err.text)

static const struct nft_set set_networks = { .name = "networks", .key = NFT_KEY_ADDRESS, .interval = true };
static const struct nft_set set_ports = { .name = "ports",
					  .key = NFT_KEY_ADDRESS | NFT_KEY_PROTO | NFT_KEY_PORT,
					  .interval = true };
static const struct nft_set set_seen = { .name = "seen", .key = NFT_KEY_ADDRESS, .timeout_ms = 60000, .size = 16 };
static const struct nft_set map_targets = { .name = "targets", .key = NFT_KEY_PROTO | NFT_KEY_PORT, .map = true };

static struct err err;

static void add_all(struct nft_batch *batch)
{
	static const struct nft_hook hook = { NFT_CHAIN_FILTER, NF_INET_FORWARD, NF_IP_PRI_FILTER, false, NULL };
	const struct nft_element networks[] = { { .first = IP(10, 0, 0, 0), .last = IP(10, 255, 255, 255) },
						{ .first = IP(224, 0, 0, 0), .last = UINT32_MAX } };
	const struct nft_element ports = {
		.first = IP(1, 2, 3, 0), .last = IP(1, 2, 3, 255), .proto = IPPROTO_TCP, .port = 80
	};
	const struct nft_element mapped = {
		.proto = IPPROTO_TCP, .port = 80, .to_address = IP(10, 0, 0, 1), .to_port = 8080
	};

	nft_table_add(batch, 0);
	nft_counter_add(batch, "dropped", 7, 700);
	nft_set_add(batch, &set_networks);
	nft_elements_add(batch, &set_networks, networks, 2);
	nft_set_add(batch, &set_ports);
	nft_elements_add(batch, &set_ports, &ports, 1);
	nft_set_add(batch, &set_seen);
	nft_set_add(batch, &map_targets);
	nft_elements_add(batch, &map_targets, &mapped, 1);
	nft_chain_add(batch, "denied", NULL, NULL);
	RULE(batch, "denied", act_count(batch, "dropped"), verdict_drop(batch));
	nft_chain_add(batch, "forward", &hook, NULL);
	RULE(batch, "forward", match_destination_in(batch, NFT_IS, &set_networks), verdict_goto(batch, "denied"));
	RULE(batch, "forward", match_destination_in(batch, NFT_IS, &set_ports), verdict_accept(batch));
	RULE(batch, "forward", act_record_destination(batch, &set_seen));
	/* After those of another chain. */
	RULE(batch, "denied", verdict_accept(batch));
}

static bool is_intact(void)
{
	static const char *const filled[] = { "seen", "people", NULL };
	struct nft_batch wanted;
	bool intact = false;

	nft_batch_begin(&wanted, NFPROTO_INET);
	add_all(&wanted);
	OK(nft_check(-1, &wanted, filled, &intact, &err));
	nft_batch_free(&wanted);
	return intact;
}

static void make_tables(void)
{
	struct nft_batch batch;

	nft_batch_begin(&batch, NFPROTO_INET);
	nft_table_add(&batch, 0);
	nft_table_delete(&batch);
	add_all(&batch);
	OK(nft_batch_send(&batch, -1, &err));
	nft_batch_free(&batch);
}

static void setup(void)
{
	err = (struct err){ 0 };
	config_free(lab_open().config);
}

START_TEST(what_was_made_is_intact_and_nothing_is_not)
{
	ck_assert(!is_intact());
	make_tables();
	ck_assert(is_intact());
	free(lab_round_trip());
	ck_assert(is_intact());
}
END_TEST

START_TEST(every_alteration_shows)
{
	static const char *const alterations[] = {
		"nft delete table inet weft",
		"nft add table inet weft '{ flags dormant; }'",
		"nft add chain inet weft other",
		"nft flush chain inet weft denied",
		"nft 'flush chain inet weft forward; flush chain inet weft denied; delete chain inet weft denied'",
		"nft chain inet weft forward '{ policy drop; }'",
		"nft add chain inet weft other '{ type filter hook input priority 0; }'",
		"nft add rule inet weft forward accept",
		"nft insert rule inet weft forward accept",
		"nft add rule inet weft denied counter",
		"nft flush chain inet weft forward",
		"nft add counter inet weft other",
		"nft add quota inet weft other over 1 mbytes",
		"nft 'flush chain inet weft denied; delete counter inet weft dropped'",
		"nft add set inet weft other '{ type ipv4_addr; }'",
		"nft add element inet weft networks '{ 192.168.0.0/16 }'",
		"nft delete element inet weft networks '{ 224.0.0.0/3 }'",
		"nft 'delete element inet weft networks { 10.0.0.0/8 }; add element inet weft networks { 10.0.0.0/9 }'",
		"nft add element inet weft ports '{ 1.2.3.0/24 . udp . 80 }'",
		"nft flush set inet weft ports",
		"nft 'flush map inet weft targets; add element inet weft targets { tcp . 80 : 10.0.0.2 . 8080 }'",
		"nft 'flush map inet weft targets; add element inet weft targets { tcp . 81 : 10.0.0.1 . 8080 }'",
		"nft flush map inet weft targets",
		("nft 'flush chain inet weft forward; delete set inet weft seen; "
		 "add set inet weft seen { type ipv4_addr; flags dynamic, timeout; timeout 61s; size 16; }'"),
	};

	for (size_t i = 0; i < sizeof(alterations) / sizeof(alterations[0]); i++) {
		make_tables();
		ck_assert(is_intact());
		lab_run("%s", alterations[i]);
		ck_assert_msg(!is_intact(), "not noticed: %s", alterations[i]);
	}
}
END_TEST

START_TEST(a_rule_out_of_its_place_shows)
{
	make_tables();
	lab_run("nft flush chain inet weft denied && nft add rule inet weft denied accept && "
		"nft add rule inet weft denied counter name dropped drop");
	ck_assert(!is_intact());
	lab_run("nft flush chain inet weft denied && nft add rule inet weft denied counter name dropped drop && "
		"nft add rule inet weft denied accept");
	ck_assert(is_intact());
}
END_TEST

START_TEST(neither_what_rules_fill_nor_tables_of_others_count)
{
	make_tables();
	lab_run("nft add element inet weft seen '{ 1.2.3.4 }' && nft add chain inet weft people && "
		"nft add rule inet weft people accept && nft add table ip weft && nft add table inet other");
	ck_assert(is_intact());
	lab_run("nft reset counters >/dev/null");
	ck_assert(is_intact());
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("nft_check");
	TCase *tables = tcase_create("tables");

	lab_require_root();
	tcase_add_checked_fixture(tables, setup, NULL);
	tcase_set_timeout(tables, 120);
	tcase_add_test(tables, what_was_made_is_intact_and_nothing_is_not);
	tcase_add_test(tables, every_alteration_shows);
	tcase_add_test(tables, a_rule_out_of_its_place_shows);
	tcase_add_test(tables, neither_what_rules_fill_nor_tables_of_others_count);
	suite_add_tcase(suite, tables);
	return run_suite(suite);
}

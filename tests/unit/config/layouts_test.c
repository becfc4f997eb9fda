/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config/layouts.h"
#include "unit/run_suite.h"

#include <check.h>

static struct config *config;
static struct config_layout other; /* borrows the strings of CONFIG's */

static void setup(void)
{
	config = config_default();
	ck_assert_ptr_nonnull(config);
	other = config->layout;
	other.link_group = 77;
	ck_assert_int_eq(addr_cidr4_parse("10.21.0.0/20", &other.host_cidr), 0);
}

static void teardown(void)
{
	config_free(config);
}

static size_t count_layouts(void)
{
	size_t count = 0;

	for (size_t at = 0; config_layout_next(config, &at);)
		count++;
	return count;
}

START_TEST(equal_layouts_are_one)
{
	other.veth_prefix = (char[]){ "wv" };
	const struct config_layout *added = config_layout_add(config, &other);

	ck_assert_ptr_nonnull(added);
	ck_assert_ptr_eq(config_layout_add(config, &config->layout), &config->layout);
	ck_assert_ptr_eq(config_layout_add(config, &other), added);
	ck_assert_uint_eq(count_layouts(), 2);
	other.mtu = 1400;
	ck_assert_ptr_ne(config_layout_add(config, &other), added);
	ck_assert_uint_eq(count_layouts(), 3);
}
END_TEST

START_TEST(what_covers_slots_covers_all_layouts_once)
{
	uint32_t groups[CONFIG_LAYOUTS_MAX];
	struct cidr4 ranges[2 * CONFIG_LAYOUTS_MAX];
	const struct config_layout *found, *added;

	other.veth_prefix = (char[]){ "wv" };
	added = config_layout_add(config, &other);
	ck_assert_uint_eq(config_layout_groups(config, groups), 2);
	ck_assert_uint_eq(groups[0], 1874);
	ck_assert_uint_eq(groups[1], 77);
	/* They have the range of veths in common. */
	ck_assert_uint_eq(config_layout_ranges(config, ranges), 3);
	ck_assert_uint_eq(config_layout_host_ranges(config, ranges), 2);
	ck_assert_uint_eq(config_layout_veth_slot(config, "wv5", &found), 5);
	ck_assert_ptr_eq(found, added);
	ck_assert_uint_eq(config_layout_veth_slot(config, "veth-6", &found), 6);
	ck_assert_ptr_eq(found, &config->layout);
	ck_assert_uint_eq(config_layout_veth_slot(config, "eth0", NULL), 0);
}
END_TEST

START_TEST(a_dropped_layout_covers_nothing_and_may_come_back)
{
	const struct config_layout *added;

	other.veth_prefix = (char[]){ "wv" };
	added = config_layout_add(config, &other);
	ck_assert(config_layout_has_earlier(config));
	config_layout_drop(config, added);
	ck_assert(!config_layout_has_earlier(config));
	ck_assert_uint_eq(config_layout_veth_slot(config, "wv5", NULL), 0);
	/* Who holds it may read it still. */
	ck_assert_uint_eq(added->link_group, 77);
	ck_assert_ptr_eq(config_layout_add(config, &other), added);
}
END_TEST

START_TEST(so_many_are_in_use_at_once_and_no_more)
{
	other.veth_prefix = (char[]){ "wv" };
	for (unsigned i = 1; i < CONFIG_LAYOUTS_MAX; i++) {
		other.link_group = i;
		ck_assert_ptr_nonnull(config_layout_add(config, &other));
	}
	other.link_group = 1000;
	ck_assert_ptr_null(config_layout_add(config, &other));
	ck_assert_uint_eq(count_layouts(), CONFIG_LAYOUTS_MAX);
}
END_TEST

START_TEST(values_that_no_configuration_has_are_no_layout)
{
	struct config_layout bad = config->layout;

	ck_assert(config_layout_is_valid(&config->layout));
	bad.netns_dir = (char[]){ "run/netns" };
	ck_assert(!config_layout_is_valid(&bad));
	bad = config->layout;
	bad.veth_prefix = (char[]){ "../x" };
	ck_assert(!config_layout_is_valid(&bad));
	bad = config->layout;
	bad.link_group = 0;
	ck_assert(!config_layout_is_valid(&bad));
	bad = config->layout;
	bad.host_cidr.ip++;
	ck_assert(!config_layout_is_valid(&bad));
	bad = config->layout;
	bad.veth_cidr.length = 0;
	ck_assert(!config_layout_is_valid(&bad));
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("layouts");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, equal_layouts_are_one);
	tcase_add_test(tcase, what_covers_slots_covers_all_layouts_once);
	tcase_add_test(tcase, a_dropped_layout_covers_nothing_and_may_come_back);
	tcase_add_test(tcase, so_many_are_in_use_at_once_and_no_more);
	tcase_add_test(tcase, values_that_no_configuration_has_are_no_layout);

	Suite *suite = suite_create("layouts");
	suite_add_tcase(suite, tcase);

	return run_suite(suite);
}

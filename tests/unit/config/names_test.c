/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config/config.h"
#include "unit/run_suite.h"

#include <check.h>

static struct config *config;

static void setup(void)
{
	config = config_default();
	ck_assert_ptr_nonnull(config);
}

static void teardown(void)
{
	config_free(config);
}

START_TEST(slot_110_is_called_as_documented)
{
	char name[CONFIG_NAME_SIZE], path[CONFIG_PATH_SIZE], link[CONFIG_LINK_SIZE];

	ck_assert_str_eq(config_netns_name(&config->layout, 110, name), "ns-110");
	ck_assert_str_eq(config_netns_path(&config->layout, 110, path), "/run/netns/ns-110");
	ck_assert_str_eq(config_veth_name(&config->layout, 110, link), "veth-110");
}
END_TEST

START_TEST(slot_110_is_addressed_as_documented)
{
	char text[MAC_TEXT_SIZE];
	struct mac mac;

	ck_assert_str_eq(addr_ipv4_format(config_host_ip(&config->layout, 110), text), "10.11.0.110");
	ck_assert_str_eq(addr_ipv4_format(config_veth_host_ip(&config->layout, 110), text), "10.12.0.220");
	ck_assert_str_eq(addr_ipv4_format(config_veth_guest_ip(&config->layout, 110), text), "10.12.0.221");
	mac = config_veth_host_mac(0x1234);
	ck_assert_str_eq(addr_mac_format(&mac, text), "02:FC:01:00:12:34");
	mac = config_veth_guest_mac(0x1234);
	ck_assert_str_eq(addr_mac_format(&mac, text), "02:FC:02:00:12:34");
}
END_TEST

START_TEST(the_highest_slot_stays_inside_its_ranges)
{
	unsigned last = config_slot_max(&config->layout);

	ck_assert_uint_eq(last, CONFIG_SLOT_MAX);
	ck_assert(addr_cidr4_contains(&config->layout.host_cidr, config_host_ip(&config->layout, last)));
	ck_assert(addr_cidr4_contains(&config->layout.veth_cidr, config_veth_guest_ip(&config->layout, last)));
}
END_TEST

START_TEST(small_ranges_have_few_slots)
{
	config->layout.host_cidr.length = 24;
	ck_assert_uint_eq(config_slot_max(&config->layout), 254);
	config->layout.veth_cidr.length = 29;
	ck_assert_uint_eq(config_slot_max(&config->layout), 3);
	ck_assert_uint_eq(config_veth_slot(&config->layout, "veth-4"), 0);
}
END_TEST

START_TEST(a_name_leads_back_to_its_slot)
{
	ck_assert_uint_eq(config_netns_slot(&config->layout, "ns-1"), 1);
	ck_assert_uint_eq(config_veth_slot(&config->layout, "veth-32766"), 32766);
}
END_TEST

START_TEST(other_names_lead_nowhere)
{
	static const char *const names[] = { "",      "ns",    "ns-",      "ns-0",   "ns-07",        "ns--1",
					     "ns-+1", "ns- 1", "ns-1 ",    "ns-1x",  "xns-1",        "ns-32767",
					     "NS-1",  "ns-/1", "ns-65537", "veth-1", "ns-4294967297" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		ck_assert_msg(config_netns_slot(&config->layout, names[i]) == 0, "%s", names[i]);
}
END_TEST

int main(void)
{
	TCase *naming = tcase_create("naming");
	tcase_add_checked_fixture(naming, setup, teardown);
	tcase_add_test(naming, slot_110_is_called_as_documented);
	tcase_add_test(naming, slot_110_is_addressed_as_documented);
	tcase_add_test(naming, the_highest_slot_stays_inside_its_ranges);
	tcase_add_test(naming, small_ranges_have_few_slots);
	tcase_add_test(naming, a_name_leads_back_to_its_slot);
	tcase_add_test(naming, other_names_lead_nowhere);

	Suite *suite = suite_create("names");
	suite_add_tcase(suite, naming);

	return run_suite(suite);
}

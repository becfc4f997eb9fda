/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "wire/wire.h"

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "registry/problem.h"
#include "unit/run_suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct config *config;
static struct registry *registry;
static struct problem problem;

static void setup(void)
{
	log_setup(LOG_ERROR_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
	config = config_default();
	registry = registry_new(config);
	ck_assert_ptr_nonnull(registry);
}

static void teardown(void)
{
	registry_free(registry);
	config_free(config);
}

static struct sandbox *registered(const char *body)
{
	json_t *json = wire_parse_body(body, strlen(body), &problem);
	struct spec *spec = wire_read_spec(json, config, &problem);
	struct sandbox *sandbox;

	json_decref(json);
	registry_prefer_slot(registry, 110);
	sandbox = registry_add(registry, "ip5a2vh1q14ne170jpah6", spec, &problem);
	ck_assert_msg(sandbox != NULL, "%s", problem.detail);
	sandbox->mtu = 1500;
	ck_assert_int_eq(clock_parse("2026-01-14T09:37:00Z", &sandbox->registered_ms), 0);
	registry_sandbox_set_state(registry, sandbox, SANDBOX_WAITING, "registered", NULL);
	sandbox->since_ms = sandbox->registered_ms;
	return sandbox;
}

static void expect_written(const struct sandbox *sandbox, const char *text)
{
	json_t *written = wire_write_sandbox(sandbox, config), *expected = json_loads(text, 0, NULL);

	/* It grows from one millisecond to the next. */
	ck_assert_int_gt(json_integer_value(json_object_get(written, "idle_ms")), 0);
	json_object_del(written, "idle_ms");
	char *shown = json_dumps(written, JSON_INDENT(1));

	ck_assert_ptr_nonnull(expected);
	ck_assert_msg(json_equal(written, expected), "%s", shown);
	free(shown);
	json_decref(written);
	json_decref(expected);
}

START_TEST(a_sandbox_is_shown_as_the_interface_has_it)
{
	struct sandbox *sandbox = registered("{\"ports\": [49983], \"default\": true, \"ready_port\": 49983,"
					     " \"labels\": {\"template\": \"base\"}, \"name\": \"web\"}");

	expect_written(
	    sandbox,
	    "{\"id\": \"ip5a2vh1q14ne170jpah6\", \"name\": \"web\", \"slot\": 110, \"state\": \"waiting\", \"since\": "
	    "\"2026-01-14T09:37:00Z\","
	    " \"reason\": null, \"netns\": \"ns-110\", \"netns_path\": \"/run/netns/ns-110\", \"tap\": \"tap0\","
	    " \"veth\": \"veth-110\", \"host_ip\": \"10.11.0.110\", \"guest\": {\"ip\": \"169.254.0.21\", \"prefix\": "
	    "30,"
	    " \"gateway\": \"169.254.0.22\", \"mac\": \"02:FC:00:00:00:05\", \"mtu\": 1500, \"dns\": [], \"boot_arg\":"
	    " \"ip=169.254.0.21::169.254.0.22:255.255.255.252:instance:eth0:off\"}, \"endpoints\": [{\"guest_port\": "
	    "49983,"
	    " \"proto\": \"tcp\", \"via\": \"forwarder\", \"listen\": [\"127.0.0.1:20000\", \"[::1]:20000\"],"
	    " \"open\": false, \"path\": \"forwarder\", \"path_reason\": \"waiting\"}],"
	    " \"default\": true, \"ready_port\": 49983, \"labels\": {\"template\": \"base\"},"
	    " \"registered_at\": \"2026-01-14T09:37:00Z\", \"last_activity\": null, \"counters\": {\"bytes_to_guest\": "
	    "0,"
	    " \"bytes_from_guest\": 0, \"packets_to_guest\": 0, \"packets_from_guest\": 0, \"connections_total\": 0,"
	    " \"connections_open\": 0, \"connections_held\": 0, \"drops_total\": 0}, \"tap_owner\": null,"
	    " \"egress\": {\"internet\": true, \"allow\": [], \"deny\": [], \"dscp\": 0, \"isolated\": false}, "
	    "\"bandwidth\": {\"to_guest\": {\"rate\": "
	    "0,"
	    " \"burst\": 0}, \"from_guest\": {\"rate\": 0, \"burst\": 0}}, \"limits\": {\"connections\": 0,"
	    " \"connect_deadline_ms\": 30000, \"idle_ms\": 0, \"half_closed_ms\": 0, \"keepalive_ms\": 15000},"
	    " \"door\": {\"public\": true, \"token_sha256\": null, \"ports\": {}, \"host_label\": \"web\"},"
	    " \"wake\": null, \"idle_report_ms\": 0}");
}
END_TEST

START_TEST(name_servers_are_told_and_two_of_them_in_the_boot_argument)
{
	struct cidr4 dns[] = { { 0x01010101, 32 }, { 0x08080808, 32 }, { 0x09090909, 32 } };
	struct sandbox *sandbox = registered("{}");
	json_t *json, *guest;

	config->addresses.dns.items = dns;
	config->addresses.dns.count = 3;
	json = wire_write_sandbox(sandbox, config);
	config->addresses.dns.items = NULL;
	config->addresses.dns.count = 0;
	guest = json_object_get(json, "guest");
	ck_assert_uint_eq(json_array_size(json_object_get(guest, "dns")), 3);
	ck_assert_str_eq(json_string_value(json_array_get(json_object_get(guest, "dns"), 2)), "9.9.9.9");
	ck_assert_str_eq(json_string_value(json_object_get(guest, "boot_arg")),
			 "ip=169.254.0.21::169.254.0.22:255.255.255.252:instance:eth0:off:1.1.1.1:8.8.8.8");
	json_decref(json);
}
END_TEST

START_TEST(a_failure_is_shown_with_its_reason)
{
	struct sandbox *sandbox = registered("{\"tap_owner\": {\"uid\": 7, \"gid\": 8}}");
	json_t *json;

	registry_sandbox_set_state(registry, sandbox, SANDBOX_FAILED, "fabric", "ns-110 is gone");
	sandbox->last_activity_ms = 1000;
	json = wire_write_sandbox(sandbox, config);
	ck_assert_str_eq(json_string_value(json_object_get(json, "state")), "failed");
	ck_assert_str_eq(json_string_value(json_object_get(json, "reason")), "ns-110 is gone");
	ck_assert_str_eq(json_string_value(json_object_get(json, "last_activity")), "1970-01-01T00:00:01Z");
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(json, "tap_owner"), "gid")), 8);
	ck_assert(json_is_null(json_object_get(json, "ready_port")));
	ck_assert(json_is_null(json_object_get(json, "name")));
	json_decref(json);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wire_sandbox");
	TCase *tcase = tcase_create("wire_sandbox");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_sandbox_is_shown_as_the_interface_has_it);
	tcase_add_test(tcase, name_servers_are_told_and_two_of_them_in_the_boot_argument);
	tcase_add_test(tcase, a_failure_is_shown_with_its_reason);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Services of the host, and redirections of the guests' TCP, in the configuration. */
#include "config/service.h"

#include "config/option.h"
#include "unit/config/config_fixture.h"
#include "unit/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

START_TEST(services_are_read_and_found_by_the_address_that_guests_ask)
{
	static const char text[] = "10.0.0.1:53 192.0.2.1:80=5010 192.0.2.1:111=127.0.0.1:5012 "
				   "192.0.2.1:2049=[::1]:5011,proxy-v2 192.0.2.1:81=unix:/run/a=b,c.sock,proxy-v2 "
				   "192.0.2.1:82=unix:/run/d.sock";
	char lines[512] = "[egress]\n";
	char list[sizeof(text)];

	memcpy(list, text, sizeof(text));
	for (char *rest = list, *item; (item = strsep(&rest, " "));)
		snprintf(lines + strlen(lines), sizeof(lines) - strlen(lines), "allow_host = %s\n", item);
	load(lines);
	ck_assert_ptr_nonnull(config);
	char *printed = config_option_print(config_option_find("egress", "allow_host"), config);
	ck_assert_str_eq(printed, text);
	free(printed);

	struct config *copy = config_copy(config);
	const struct addr asked[] = {
		addr_from_ipv4(0x0a000001, 53),   addr_from_ipv4(0xc0000201, 80), addr_from_ipv4(0xc0000201, 111),
		addr_from_ipv4(0xc0000201, 2049), addr_from_ipv4(0xc0000201, 81), addr_from_ipv4(0xc0000201, 83),
	};
	const struct config_service *found[6];
	char target[ADDR_TEXT_SIZE];

	for (size_t i = 0; i < 6; i++)
		found[i] = config_service_find(copy, &asked[i]);
	ck_assert_int_eq(found[0]->kind, CONFIG_SERVICE_SAME);
	ck_assert(found[1]->kind == CONFIG_SERVICE_PORT && found[1]->port == 5010);
	ck_assert(!config_service_is_forwarded(found[0]) && !config_service_is_forwarded(found[1]));
	ck_assert_int_eq(found[2]->kind, CONFIG_SERVICE_ADDRESS);
	ck_assert_str_eq(addr_format(&found[2]->target, target), "127.0.0.1:5012");
	ck_assert(!found[2]->proxy_v2 && config_service_is_forwarded(found[2]));
	ck_assert_str_eq(addr_format(&found[3]->target, target), "[::1]:5011");
	ck_assert(found[3]->proxy_v2);
	ck_assert_int_eq(found[4]->kind, CONFIG_SERVICE_UNIX);
	ck_assert_str_eq(found[4]->path, "/run/a=b,c.sock");
	ck_assert(found[4]->proxy_v2 && config_service_is_forwarded(found[4]));
	ck_assert_ptr_null(found[5]);
	ck_assert(config_has_forwarded_service(copy));
	config_free(copy);
	config_teardown();
	load("[egress]\nallow_host = 192.0.2.1:80=5010\nallow_host = 192.0.2.1:81\n");
	ck_assert(!config_has_forwarded_service(config));
}
END_TEST

START_TEST(a_port_is_redirected_by_its_own_entry_before_that_of_all_others)
{
	load("[egress]\nredirect = *:5018\nredirect = 80:5016\nredirect = 443:5017\n");
	ck_assert_ptr_nonnull(config);
	ck_assert_uint_eq(config_redirect_find(config, 80)->to, 5016);
	ck_assert_uint_eq(config_redirect_find(config, 443)->to, 5017);
	ck_assert_uint_eq(config_redirect_find(config, 22)->to, 5018);
	config_teardown();
	load("[egress]\nredirect = 80:5016\n");
	ck_assert_uint_eq(config_redirect_find(config, 80)->to, 5016);
	ck_assert_ptr_null(config_redirect_find(config, 443));
}
END_TEST

START_TEST(services_and_redirections_that_cannot_work_are_refused)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
		{ "allow_host = 192.0.2.1",
		  "not an address with a port; allowed: ADDRESS:PORT[=PORT], ADDRESS:PORT=ADDRESS:PORT[,proxy-v2] or" },
		{ "allow_host = 192.0.2.1:80=", "neither a port, an address with a port, nor unix:PATH" },
		{ "allow_host = 192.0.2.1:80=0", "neither a port" },
		{ "allow_host = 192.0.2.1:80=65536", "neither a port" },
		{ "allow_host = 192.0.2.1:80=localhost:80", "neither a port" },
		{ "allow_host = 192.0.2.1:80=unix:run/x", "is not absolute" },
		{ "allow_host = 192.0.2.1:80=unix:", "is not absolute" },
		{ "allow_host = 192.0.2.1:80=unix:/run/a b", "blanks or control characters" },
		{ "allow_host = 192.0.2.1:80=unix:/run/0123456789012345678901234567890123456789012345678901234567890123"
		  "456789012345678901234567890123456789012",
		  "longer than 107 characters" },
		{ "allow_host = 192.0.2.1:80,proxy-v2", "the kernel writes no header" },
		{ "allow_host = 192.0.2.1:80=5010,proxy-v2", "the kernel writes no header" },
		{ "allow_host = 192.0.2.1:80=127.0.0.1:80,proxy-v1", "neither a port" },
		{ "allow_host = 192.0.2.1:80=0.0.0.0:80", "weftd cannot connect to 0.0.0.0:80" },
		{ "allow_host = 192.0.2.1:80=127.0.0.1:1\nallow_host = 192.0.2.1:80=5010",
		  "the address has a service already" },
		{ "allow_host = 127.0.0.1:80=5010", "no guest can ask there" },
		{ "allow_host = 192.0.2.1:80=20005", "lies in [ports] range" },
		{ "allow_host = 192.0.2.1:80=5382\nallow_host = 192.0.2.1:81=127.0.0.1:81",
		  "the port is service_port" },
		{ "allow_host = 192.0.2.1:81=127.0.0.1:5382", "the target is service_port" },
		{ "allow_host = 192.0.2.1:80=49983", "weftd listens there itself, on 127.0.0.1:49983" },
		{ "allow_host = 169.254.0.22:80=5010", "on the guest's own link" },
		{ "allow_host = 169.254.0.20:80", "on the guest's own link" },
		{ "redirect = 80:49983", "weftd listens there itself, on 127.0.0.1:49983" },
		{ "redirect = 80:9100\n[http]\nlisten = 127.0.0.1:9100",
		  "weftd listens there itself, on 127.0.0.1:9100" },
		{ "redirect = 5016",
		  "not two ports with a colon between; allowed: PORT:PORT, each 1 to 65535, or *:PORT" },
		{ "redirect = 80:", "not two ports" },
		{ "redirect = :80", "not two ports" },
		{ "redirect = 80:*", "not two ports" },
		{ "redirect = 0:80", "not two ports" },
		{ "redirect = 123456789:80", "not two ports" },
		{ "redirect = 80:127.0.0.1:5016", "not two ports" },
		{ "redirect = *:5018\nredirect = *:5019", "the port is redirected already" },
		{ "redirect = *:20000", "lies in [ports] range" },
		{ "service_port = 20005\nallow_host = 192.0.2.1:80=127.0.0.1:81", "lies in [ports] range" },
		{ "service_port = 49983\nallow_host = 192.0.2.1:80=127.0.0.1:81",
		  "weftd listens there itself, on 127.0.0.1:49983" },
	};
	char text[512];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), "[egress]\n%s\n", cases[i].text);
		load(text);
		ck_assert_msg(mistakes.count >= 1, "taken: %s", cases[i].text);
		ck_assert_msg(strstr(mistakes.items[0].text, cases[i].expected) != NULL, "%s", mistakes.items[0].text);
		config_teardown();
	}
	/* Nobody listens on service_port as long as nothing is forwarded. */
	load("[egress]\nservice_port = 20005\nallow_host = 192.0.2.1:80=5382\n");
	ck_assert_ptr_nonnull(config);
}
END_TEST

int main(void)
{
	TCase *services = tcase_create("services");

	tcase_add_checked_fixture(services, NULL, config_teardown);
	tcase_add_test(services, services_are_read_and_found_by_the_address_that_guests_ask);
	tcase_add_test(services, a_port_is_redirected_by_its_own_entry_before_that_of_all_others);
	tcase_add_test(services, services_and_redirections_that_cannot_work_are_refused);

	Suite *suite = suite_create("config_services");
	suite_add_tcase(suite, services);

	return run_suite(suite);
}

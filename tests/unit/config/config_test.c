/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/config/config_fixture.h"

#include "config/loading.h"
#include "unit/run_suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

START_TEST(defaults_are_those_of_the_interface)
{
	char text[ADDR_TEXT_SIZE];

	config = config_default();
	ck_assert_ptr_null(config->daemon.socket_group);
	ck_assert_int_eq(config->daemon.log_level, LOG_INFO_LEVEL);
	ck_assert_int_eq(config->daemon.log_format, LOG_TEXT_FORMAT);
	ck_assert_uint_ge(config->daemon.workers, 1);
	ck_assert_str_eq(config->layout.netns_dir, "/run/netns");
	ck_assert_str_eq(config->layout.netns_prefix, "ns-");
	ck_assert_str_eq(config->layout.veth_prefix, "veth-");
	ck_assert_uint_eq(config->layout.link_group, 1874);
	ck_assert_str_eq(addr_cidr4_format(&config->layout.host_cidr, text), "10.11.0.0/16");
	ck_assert_str_eq(addr_cidr4_format(&config->layout.veth_cidr, text), "10.12.0.0/16");
	ck_assert_str_eq(addr_cidr4_format(&config->layout.guest, text), "169.254.0.21/30");
	ck_assert_str_eq(addr_cidr4_format(&config->layout.tap, text), "169.254.0.22/30");
	ck_assert_str_eq(addr_mac_format(&config->layout.guest_mac, text), "02:FC:00:00:00:05");
	ck_assert_str_eq(addr_mac_format(&config->layout.tap_mac, text), "02:FC:00:00:00:06");
	ck_assert(!config->layout.guest_mac_learn);
	ck_assert_uint_eq(config->layout.mtu, 0);
	ck_assert_ptr_null(config->addresses.uplink);
	ck_assert_uint_eq(config->addresses.dns.count, 0);
	ck_assert_uint_eq(config->forwarder.default_listen.count, 2);
	ck_assert_str_eq(addr_format(&config->forwarder.default_listen.items[1], text), "[::1]:49983");
	ck_assert_uint_eq(config->forwarder.default_guest_port, 49983);
	ck_assert_uint_eq(config->forwarder.default_wait_ms, 2000);
	ck_assert_uint_eq(config->forwarder.connect_deadline_ms, 30000);
	ck_assert_uint_eq(config->forwarder.refused_grace_ms, 1000);
	ck_assert_uint_eq(config->forwarder.idle_ms, 0);
	ck_assert_uint_eq(config->forwarder.half_closed_ms, 0);
	ck_assert_uint_eq(config->forwarder.keepalive_ms, 15000);
	ck_assert_uint_eq(config->forwarder.connections, 0);
	ck_assert_uint_eq(config->forwarder.sandbox_connections, 0);
	ck_assert_uint_eq(config->forwarder.udp_flows, 4096);
	ck_assert_uint_eq(config->egress.flows, 8192);
	ck_assert_uint_eq(config->forwarder.udp_flows_per_client, 1024);
	ck_assert_uint_eq(config->forwarder.stop_drain_ms, 5000);
	ck_assert_uint_eq(config->ports.first, 20000);
	ck_assert_uint_eq(config->ports.last, 29999);
	ck_assert(!config->ports.allow_privileged);
	ck_assert_int_eq(config->host.ip_forward, HOST_FORWARD_ENABLE);
	ck_assert_uint_eq(config->pool.size, 0);
	ck_assert(config->egress.internet);
	ck_assert_uint_eq(config->ingress.allow.count, 0);
	ck_assert_uint_eq(config->http.listen.count, 0);
	ck_assert_str_eq(config->door.socket, "/run/weft/door.sock");
	ck_assert_str_eq(config->door.group, "haproxy");
	ck_assert_uint_eq(config->door.hold_ms, 30000);
	ck_assert(config->door.is_public);
	ck_assert_ptr_null(config->door.domain);
	ck_assert_uint_eq(config->door.backlog, 4096);
	ck_assert_ptr_null(config->wake.notify);
	ck_assert_uint_eq(config->wake.ignore.count, 0);
}
END_TEST

START_TEST(an_empty_file_is_the_defaults)
{
	load("\n");
	struct config *defaults = config_default();

	for (size_t i = 0; i < option_count; i++) {
		char *given = config_option_print(&option_table[i], config);
		char *initial = config_option_print(&option_table[i], defaults);

		ck_assert_str_eq(given, initial);
		free(given);
		free(initial);
	}
	config_free(defaults);
}
END_TEST

START_TEST(every_default_reads_back_as_it_is_written)
{
	ck_assert_uint_le(option_count, OPTION_MAX);
	config = config_default();
	for (size_t i = 0; i < option_count; i++) {
		char *printed = config_option_print(&option_table[i], config);

		if (option_table[i].offset != offsetof(struct config, daemon.workers))
			ck_assert_str_eq(printed, option_table[i].initial);
		free(printed);
	}
}
END_TEST

START_TEST(values_are_read)
{
	load("\xEF\xBB\xBF# comment\n[daemon]\r\nsocket_group = weft ; who\nlog_level=debug\nworkers = 3\n"
	     "[addresses]\nguest_mac = learn\nmtu = 9K\ndns = 1.1.1.1\ndns = 9.9.9.9\n"
	     "[forwarder]\ndefault_listen = 127.0.0.1:5000\nidle = 640s\nhalf_closed = 2m\ndefault_wait = "
	     "250ms\nkeepalive = 0\n"
	     "[egress]\ninternet = no\nallow_host = 10.0.0.1:53\nopen = 10.1.0.0/24\nservice_port = 7000\n"
	     "[addresses]\nuplink = eth7");
	ck_assert_str_eq(config->daemon.socket_group, "weft");
	ck_assert_int_eq(config->daemon.log_level, LOG_DEBUG_LEVEL);
	ck_assert_uint_eq(config->daemon.workers, 3);
	ck_assert(config->layout.guest_mac_learn);
	ck_assert_uint_eq(config->layout.mtu, 9216);
	ck_assert_uint_eq(config->addresses.dns.count, 2);
	ck_assert_uint_eq(config->addresses.dns.items[1].ip, 0x09090909);
	ck_assert_uint_eq(config->addresses.dns.items[1].length, 32);
	ck_assert_uint_eq(config->forwarder.default_listen.count, 1);
	ck_assert_uint_eq(config->forwarder.idle_ms, 640000);
	ck_assert_uint_eq(config->forwarder.half_closed_ms, 120000);
	ck_assert_uint_eq(config->forwarder.default_wait_ms, 250);
	ck_assert_uint_eq(config->forwarder.keepalive_ms, 0);
	ck_assert(!config->egress.internet);
	ck_assert_uint_eq(config->egress.allow_host.count, 1);
	ck_assert_uint_eq(config->egress.open.count, 1);
	ck_assert_uint_eq(config->egress.service_port, 7000);
	ck_assert_str_eq(config->addresses.uplink, "eth7");
}
END_TEST

START_TEST(an_empty_list_takes_the_default_away)
{
	load("[forwarder]\ndefault_listen =\n");
	ck_assert_uint_eq(config->forwarder.default_listen.count, 0);
}
END_TEST

START_TEST(a_mistake_names_all_there_is_to_know)
{
	expect_mistake(
	    "[forwarder]\n\nidle = 5\n",
	    "weftd.conf:3: [forwarder] idle = 5: no unit; allowed: 0, or a number with ms, s or m, at most 24h");
	expect_mistake("[daemon]\nlog_level = loud\n", "weftd.conf:2: [daemon] log_level = loud: none of the words; "
						       "allowed: debug, info, warning or error");
	expect_mistake("[host]\nforward = yes\n",
		       "weftd.conf:2: [host] forward = yes: no such option; allowed: ip_forward");
	expect_mistake("[hosts]\nip_forward = yes\n",
		       "weftd.conf:2: [hosts] ip_forward = yes: no such section; allowed: daemon, names, addresses, "
		       "forwarder, ports, host, pool, egress, ingress, http, door, wake, catalog");
	expect_mistake("[hosts]\n# ip_forward = yes\n[pool]\nsize = 1\n",
		       "weftd.conf:1: [hosts]: no such section; allowed: daemon, names, addresses, forwarder, ports, "
		       "host, pool, egress, ingress, http, door, wake, catalog");
	expect_mistake("ip_forward = enable\n",
		       "weftd.conf:1: ip_forward = enable: before any section; allowed: daemon, names, addresses, "
		       "forwarder, ports, host, pool, egress, ingress, http, door, wake, catalog");
	expect_mistake(
	    "[ports]\nrange = 20-10\n",
	    "weftd.conf:2: [ports] range = 20-10: the first is above the last; allowed: FIRST-LAST, each 1 to "
	    "65535");
	expect_mistake("[pool]\nsize = 3\n[pool]\nsize = 3\n",
		       "weftd.conf:4: [pool] size = 3: given twice, first on line 2; allowed: 0 to 32766");
	expect_mistake("[pool]\ntap_owner = 1:1\ntap_owner = 1:1\n",
		       "weftd.conf:3: [pool] tap_owner = 1:1: given twice, first on line 2; allowed: UID:GID, both as "
		       "numbers; empty: nobody owns it");
	expect_mistake("[egress]\nopen = 10.0.0.1/80\n",
		       "weftd.conf:2: [egress] open = 10.0.0.1/80: not an IPv4 network; allowed: ADDRESS or "
		       "NETWORK/LENGTH, IPv4; more by repeating the key");
}
END_TEST

START_TEST(a_network_with_bits_beyond_its_length_is_read_as_the_whole_one_with_a_warning)
{
	static const char *const keys[] = { "[egress]\nopen", "[ingress]\nallow", "[ports]\nallow_address" };
	char text[128], told[512];

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		snprintf(text, sizeof(text), "%s = 10.1.2.3/8\n", keys[i]);
		load(text);
		ck_assert_ptr_nonnull(config);
		const struct cidr4_list *lists[] = { &config->egress.open, &config->ingress.allow,
						     &config->ports.allow_address };
		ck_assert_uint_eq(lists[i]->count, 1);
		ck_assert_uint_eq(lists[i]->items[0].ip, 0x0a000000);
		ck_assert_uint_eq(mistakes.warnings.count, 1);
		config_mistake_format(&mistakes, &mistakes.warnings.items[0], told, sizeof(told));
		ck_assert_ptr_nonnull(strstr(told, "weftd.conf:2: "));
		ck_assert_ptr_nonnull(
		    strstr(told, " = 10.1.2.3/8: bits are set beyond the length; it is read as 10.0.0.0/8"));
		config_teardown();
	}
	load("[egress]\nopen = 10.0.0.0/8\n");
	ck_assert_uint_eq(mistakes.warnings.count, 0);
	config_teardown();
	load("[addresses]\nhost_cidr = 10.21.3.4/16\nveth_cidr = 10.22.0.1/16\n");
	ck_assert_ptr_nonnull(config);
	ck_assert_uint_eq(config->layout.host_cidr.ip, 0x0a150000);
	ck_assert_uint_eq(config->layout.veth_cidr.ip, 0x0a160000);
	ck_assert_uint_eq(mistakes.warnings.count, 2);
	config_teardown();
	/* An interface's address has such bits. */
	load("[addresses]\nguest = 169.254.0.21/30\n");
	ck_assert_uint_eq(mistakes.warnings.count, 0);
}
END_TEST

START_TEST(what_guests_ask_must_be_an_address_that_can_be_asked)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
		{ "[egress]\nallow_host = 192.0.2.1:80\nallow_host = 0.0.0.0:80\n",
		  "weftd.conf:3: [egress] allow_host = 0.0.0.0:80: no guest can ask there" },
		{ "[egress]\nallow_host = 127.0.0.1:80\n", "no guest can ask there" },
		{ "[egress]\nallow_host = 255.255.255.255:80\n", "no guest can ask there" },
		{ "[addresses]\ndns = 127.0.0.53\ndns = 224.0.0.251\n",
		  "weftd.conf:3: [addresses] dns = 224.0.0.251: no guest can ask there" },
		{ "[addresses]\ndns = 0.0.0.0\n", "no guest can ask there" },
	};

	char told[512];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		load(cases[i].text);
		ck_assert_msg(mistakes.count == 1, "%zu mistakes in: %s", mistakes.count, cases[i].text);
		config_mistake_format(&mistakes, &mistakes.items[0], told, sizeof(told));
		ck_assert_ptr_nonnull(strstr(told, cases[i].expected));
		config_teardown();
	}
	load("[addresses]\ndns = 127.0.0.53\n[egress]\nallow_host = 169.254.169.254:80\n");
	ck_assert_ptr_nonnull(config);
}
END_TEST

START_TEST(lines_are_refused_by_number)
{
	expect_mistake("[pool]\n size = 3\n", "weftd.conf:2: the line is indented: options start a line, and a list "
					      "repeats its key");
	expect_mistake("[pool]\nsize 3\n", "weftd.conf:2: the line is neither `[section]' nor `key = value'");
	expect_mistake("[pool]\nsize : 3\n", "weftd.conf:2: the line is neither `[section]' nor `key = value'");
	expect_mistake("[pool\n", "weftd.conf:1: the line has no ']'");
	expect_mistake("[pool] size = 3\n", "weftd.conf:1: the line has something behind the section's name");
}
END_TEST

START_TEST(a_nul_byte_is_refused)
{
	static const char text[] = "[pool]\nsize = 3\0 4\n";

	load_bytes(text, sizeof(text) - 1);
	ck_assert_uint_eq(mistakes.count, 1);
	ck_assert_str_eq(mistakes.items[0].text, "the line has a NUL byte in it");
}
END_TEST

/* inih would take what follows the 199th byte for a line of its own. */
START_TEST(the_rest_of_a_long_line_is_no_line)
{
	char text[600] = "[daemon]\nsocket_group = ";

	memset(text + strlen(text), 'a', 250);
	strcat(text, "\nworkers = 2\n[pool]\nsize=x\n");
	load(text);
	ck_assert_uint_eq(mistakes.count, 2);
	ck_assert_uint_eq(mistakes.items[0].line, 2);
	ck_assert_str_eq(mistakes.items[0].text, "the line is too long; allowed: 199 bytes");
	ck_assert_uint_eq(mistakes.items[1].line, 5);
}
END_TEST

START_TEST(an_option_behind_many_blanks_is_not_passed_over)
{
	char text[1200] = "[pool]\n";

	sprintf(text + strlen(text), "%250s\n", "size = 3");
	load(text);
	ck_assert_uint_eq(mistakes.count, 1);
	ck_assert_uint_eq(mistakes.items[0].line, 2);
	ck_assert_str_eq(mistakes.items[0].text, "the line is too long; allowed: 199 bytes");
}
END_TEST

START_TEST(long_blanks_and_comments_say_nothing)
{
	char text[1200] = "[pool]\n";

	sprintf(text + strlen(text), "%250s\n#%250s\n  # %250s\nsize = 3%250s\n", "", "x", "x", "");
	load(text);
	ck_assert_uint_eq(mistakes.count, 0);
	ck_assert_uint_eq(config->pool.size, 3);
}
END_TEST

START_TEST(a_line_of_199_bytes_is_read_whole)
{
	char text[300] = "[names]\nnetns_dir =";

	/* 8 bytes are the first line; blanks may stand before the value. */
	while (strlen(text) < 8 + 189)
		strcat(text, " ");
	strcat(text, "/run/other\n[pool]\nsize = 7\n");
	load(text);
	ck_assert_str_eq(config->layout.netns_dir, "/run/other");
	ck_assert_uint_eq(config->pool.size, 7);
}
END_TEST

START_TEST(a_long_comment_is_a_comment)
{
	char text[600] = "#";

	memset(text + 1, 'x', 400);
	strcat(text, "\n[pool]\nsize = 7\n");
	load(text);
	ck_assert_uint_eq(config->pool.size, 7);
}
END_TEST

START_TEST(all_mistakes_are_told_at_once)
{
	load("[pool]\nsize = -1\nrefill = many\n[ports]\nrange = 1-2\n[addresses]\nveth_cidr = 10.11.128.0/20\n");
	ck_assert_uint_eq(mistakes.count, 4);
	ck_assert_uint_eq(mistakes.items[0].line, 2);
	ck_assert_uint_eq(mistakes.items[1].line, 3);
	ck_assert_uint_eq(mistakes.items[2].line, 7);
	ck_assert_uint_eq(mistakes.items[3].line, 5);
}
END_TEST

START_TEST(mistakes_without_end_do_not_fill_memory)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	for (int i = 0; i < 1000; i++)
		fputs("nonsense\n", out);
	fclose(out);
	load_bytes(text, size);
	free(text);
	ck_assert_uint_eq(mistakes.count, MISTAKES_MAX);
	ck_assert_str_eq(mistakes.items[MISTAKES_MAX - 1].text, "and more mistakes, not told");
}
END_TEST

START_TEST(control_characters_are_not_repeated)
{
	load("[daemon]\nlog_level = \033[2Jx\n");
	ck_assert_uint_eq(mistakes.count, 1);
	ck_assert_ptr_null(strchr(mistakes.items[0].text, '\033'));
}
END_TEST

START_TEST(values_must_agree)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
		{ "[addresses]\nveth_cidr = 10.11.0.0/20\n", "overlaps host_cidr 10.11.0.0/16" },
		{ "[addresses]\nhost_cidr = 169.254.0.0/16\n", "overlaps host_cidr 169.254.0.0/16" },
		{ "[addresses]\nhost_cidr = 127.0.0.0/16\n", "allowed: outside 0.0.0.0/8" },
		{ "[addresses]\nhost_cidr = 10.11.0.1/31\n", "the length is too large" },
		{ "[addresses]\nhost_cidr = 10.12.3.4/16\n", "overlaps host_cidr 10.12.0.0/16" },
		{ "[addresses]\nhost_cidr = 10.11.0.0\n", "no /LENGTH" },
		{ "[addresses]\ntap = 169.254.0.26/30\n", "not on the guest's link" },
		{ "[addresses]\ntap = 169.254.0.22/29\n", "not on the guest's link" },
		{ "[addresses]\ntap = 169.254.0.21/30\n", "the guest's address" },
		{ "[addresses]\ntap = 169.254.0.23/30\n", "the network's or its broadcast address" },
		{ "[addresses]\ntap_mac = 02:fc:00:00:00:05\n", "the guest's MAC" },
		{ "[addresses]\ntap_mac = 03:fc:00:00:00:05\n", "not a unicast MAC" },
		{ "[addresses]\nmtu = 68\n", "too small" },
		{ "[addresses]\nmtu = 1T\n", "not a size" },
		{ "[addresses]\nuplink = veth-3\n", "the name of a sandbox's veth" },
		{ "[addresses]\nuplink = ../x\n", "allowed: the name of a link" },
		{ "[addresses]\ndns = 10.0.0.0/8\n", "a network, not an address" },
		{ "[names]\nveth_prefix = sandbox-net-\n", "`sandbox-net-32766', it has 17 characters" },
		{ "[names]\nveth_prefix = a/b\n", "letters, digits" },
		{ "[names]\nnetns_prefix = ../\n", "letters, digits" },
		{ "[names]\nnetns_prefix =\n", "empty" },
		{ "[names]\nnetns_dir = run\n", "not a plain absolute path" },
		{ "[names]\nnetns_dir = /run/../etc\n", "not a plain absolute path" },
		{ "[ports]\nrange = 80-90\n", "has privileged ports" },
		{ "[ports]\nrange = 40000-50000\n", "127.0.0.1:49983: lies in [ports] range" },
		{ "[http]\nlisten = 127.255.255.255:8080\n", "no client can ask there" },
		{ "[forwarder]\ndefault_listen = 224.0.0.1:49983\n", "no client can ask there" },
		{ "[http]\nlisten = [::1]:49983\n", "also in [forwarder] default_listen" },
		{ "[egress]\nallow_host = [::1]:80\n", "not IPv4" },
		{ "[forwarder]\ndefault_guest_port = 0\n", "not a port" },
		{ "[forwarder]\ndefault_guest_port = 65536\n", "not a port" },
		{ "[forwarder]\nconnect_deadline = 0\n", "no unit" },
		{ "[forwarder]\nkeepalive = 10ms\n", "too small" },
		{ "[forwarder]\nidle = 99999999999s\n", "too large" },
		{ "[forwarder]\nidle = 9999999999m\n", "too large" },
		{ "[forwarder]\ndefault_listen = 127.0.0.1:1\ndefault_listen = 127.0.0.1:1\n", "given twice" },
		{ "[forwarder]\ndefault_listen =\ndefault_listen = 127.0.0.1:1\n", "a list is empty or has values" },
		{ "[daemon]\nsocket_group = two words\n", "blanks or control characters" },
		{ "[egress]\ninternet = maybe\n", "neither yes nor no" },
		{ "[addresses]\nhost_cidr = 10.11.0.0/28\n[pool]\nsize = 15\n", "allowed: at most 14" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool told = false;

		load(cases[i].text);
		for (size_t j = 0; j < mistakes.count; j++)
			told |= strstr(mistakes.items[j].text, cases[i].expected) != NULL;
		ck_assert_msg(told, "not told (%s): %s", mistakes.count ? mistakes.items[0].text : "-", cases[i].text);
		config_teardown();
	}
}
END_TEST

START_TEST(a_short_prefix_has_room_where_slots_are_few)
{
	load("[names]\nveth_prefix = sandbox-net-\n[addresses]\nhost_cidr = 10.11.0.0/24\n");
	ck_assert_ptr_nonnull(config);
	ck_assert_uint_eq(config_slot_max(&config->layout), 254);
}
END_TEST

START_TEST(what_the_host_refuses_is_told_with_its_line)
{
	char told[512];

	load("[http]\nlisten = 192.0.2.1:80\n");
	config_mistake_add(&mistakes, config, "http", "listen", "this host has no %s; allowed: %s", "192.0.2.1", "lo");
	config_mistake_format(&mistakes, &mistakes.items[0], told, sizeof(told));
	ck_assert_str_eq(told, "weftd.conf:2: [http] listen = 192.0.2.1:80: this host has no 192.0.2.1; allowed: lo");
}
END_TEST

START_TEST(a_value_of_a_list_is_told_with_its_own_line)
{
	char told[512];

	load("[http]\nlisten = 127.0.0.1:80\n[egress]\nopen = 10.1.0.0/16\n[http]\nlisten = 192.0.2.1:80\n");
	config_mistake_add_item(&mistakes, config, "http", "listen", 1, "192.0.2.1:80", "not here");
	config_mistake_format(&mistakes, &mistakes.items[0], told, sizeof(told));
	ck_assert_str_eq(told, "weftd.conf:6: [http] listen = 192.0.2.1:80: not here");
}
END_TEST

static void find_fault(const struct config *checked, struct config_mistakes *found)
{
	config_mistake_add(found, checked, "addresses", "host_cidr", "the host is not content");
	config_mistake_add(found, checked, "addresses", "mtu", "nor with this");
}

START_TEST(the_host_is_asked_even_where_the_file_has_mistakes)
{
	FILE *stream = fmemopen((void *)"[pool]\nsize = x\n[addresses]\nmtu = tiny\n", 38, "r");

	config = config_load_stream(stream, "weftd.conf", find_fault, &mistakes);
	fclose(stream);
	ck_assert_ptr_null(config);
	ck_assert_uint_eq(mistakes.count, 3);
	ck_assert_ptr_nonnull(strstr(mistakes.items[1].text, "mtu = tiny"));
	/* The default in place of a refused value is not reported as a mistake of the file. */
	ck_assert_str_eq(mistakes.items[2].text, "[addresses] host_cidr = 10.11.0.0/16: the host is not content");
}
END_TEST

START_TEST(a_reload_takes_what_is_reloadable_and_counts_the_rest)
{
	load("[forwarder]\nidle = 5m\nconnect_deadline = 10s\n[ports]\nallow_address = 192.0.2.0/24\nallow_address = "
	     "198.51.100.1\n[daemon]\nlog_level = error\nworkers = 255\n[names]\nlink_group = 7\n");
	struct config *running = config_default();
	unsigned workers = running->daemon.workers;

	log_setup(LOG_ERROR_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
	ck_assert_uint_eq(config_reload(running, config), 2);
	ck_assert_uint_eq(running->forwarder.idle_ms, 300000);
	ck_assert_uint_eq(running->forwarder.connect_deadline_ms, 10000);
	ck_assert_int_eq(running->daemon.log_level, LOG_ERROR_LEVEL);
	ck_assert_uint_eq(running->ports.allow_address.count, 2);
	ck_assert_ptr_ne(running->ports.allow_address.items, config->ports.allow_address.items);
	ck_assert_uint_eq(running->daemon.workers, workers);
	ck_assert_uint_eq(running->layout.link_group, 1874);
	config_free(running);
}
END_TEST

int main(void)
{
	TCase *reading = tcase_create("reading");
	tcase_add_checked_fixture(reading, NULL, config_teardown);
	tcase_add_test(reading, defaults_are_those_of_the_interface);
	tcase_add_test(reading, an_empty_file_is_the_defaults);
	tcase_add_test(reading, every_default_reads_back_as_it_is_written);
	tcase_add_test(reading, values_are_read);
	tcase_add_test(reading, an_empty_list_takes_the_default_away);
	tcase_add_test(reading, a_line_of_199_bytes_is_read_whole);
	tcase_add_test(reading, a_long_comment_is_a_comment);
	tcase_add_test(reading, a_short_prefix_has_room_where_slots_are_few);
	tcase_add_test(reading, a_reload_takes_what_is_reloadable_and_counts_the_rest);

	TCase *refusing = tcase_create("refusing");
	tcase_add_checked_fixture(refusing, NULL, config_teardown);
	tcase_add_test(refusing, a_mistake_names_all_there_is_to_know);
	tcase_add_test(refusing, a_network_with_bits_beyond_its_length_is_read_as_the_whole_one_with_a_warning);
	tcase_add_test(refusing, what_guests_ask_must_be_an_address_that_can_be_asked);
	tcase_add_test(refusing, lines_are_refused_by_number);
	tcase_add_test(refusing, a_nul_byte_is_refused);
	tcase_add_test(refusing, the_rest_of_a_long_line_is_no_line);
	tcase_add_test(refusing, an_option_behind_many_blanks_is_not_passed_over);
	tcase_add_test(refusing, long_blanks_and_comments_say_nothing);
	tcase_add_test(refusing, all_mistakes_are_told_at_once);
	tcase_add_test(refusing, mistakes_without_end_do_not_fill_memory);
	tcase_add_test(refusing, control_characters_are_not_repeated);
	tcase_add_test(refusing, values_must_agree);
	tcase_add_test(refusing, what_the_host_refuses_is_told_with_its_line);
	tcase_add_test(refusing, a_value_of_a_list_is_told_with_its_own_line);
	tcase_add_test(refusing, the_host_is_asked_even_where_the_file_has_mistakes);

	Suite *suite = suite_create("config");
	suite_add_tcase(suite, reading);
	suite_add_tcase(suite, refusing);

	return run_suite(suite);
}

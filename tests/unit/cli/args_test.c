/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/err.h"
#include "cli/commands.h"
#include "cli/port_args.h"
#include "cli/value_args.h"
#include "unit/run_suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct args args;
static struct err err;
static char *words[16];

/* Parses the words of LINE as a command line. */
static int parse(const char *line)
{
	static char copy[256];
	char *rest = copy;
	int count = 0;

	cli_args_clear(&args);
	err = (struct err){ 0 };
	snprintf(copy, sizeof(copy), "weftctl %s", line);
	memset(words, 0, sizeof(words));
	while ((words[count] = strsep(&rest, " ")))
		count++;
	return cli_args_parse(&args, count, words, commands, &err);
}

static void teardown(void)
{
	cli_args_clear(&args);
}

static void refused(const char *line, const char *text)
{
	ck_assert_msg(parse(line) < 0, "taken: %s", line);
	ck_assert_str_eq(err.text, text);
}

START_TEST(options_go_before_and_behind_the_command)
{
	ck_assert_int_eq(parse("--socket /a --json ls --state ready"), 0);
	ck_assert_str_eq(args.command->name, "ls");
	ck_assert_str_eq(args.socket, "/a");
	ck_assert(args.json);
	ck_assert_str_eq(cli_args_value(&args, "state"), "ready");
	ck_assert_int_eq(parse("ls --json --socket=/b"), 0);
	ck_assert_str_eq(args.socket, "/b");
	ck_assert_int_eq(args.deadline_s, 0);
	ck_assert_int_eq(parse("ls --deadline 3600"), 0);
	ck_assert_int_eq(args.deadline_s, 3600);
}
END_TEST

START_TEST(an_option_may_have_a_letter_where_it_is_known)
{
	ck_assert_int_eq(parse("ls -q"), 0);
	ck_assert(cli_args_has(&args, "quiet"));
	ck_assert_int_eq(parse("status -h"), 0);
	ck_assert(args.help);
	refused("status -q", "-q: no such option");
	refused("-q ls", "-q: no such option");
	ck_assert_int_eq(parse("ls --sort -slot"), 0);
	ck_assert_str_eq(cli_args_value(&args, "sort"), "-slot");
}
END_TEST

START_TEST(an_option_that_repeats_keeps_its_order)
{
	ck_assert_int_eq(parse("register a --port 1 --port=2=127.0.0.1:3 --default"), 0);
	ck_assert_str_eq(cli_args_value_at(&args, "port", 0), "1");
	ck_assert_str_eq(cli_args_value_at(&args, "port", 1), "2=127.0.0.1:3");
	ck_assert_ptr_null(cli_args_value_at(&args, "port", 2));
	ck_assert(cli_args_has(&args, "default"));
	ck_assert(!cli_args_has(&args, "label"));
}
END_TEST

START_TEST(mistakes_name_the_argument)
{
	refused("frob", "frob: no such command");
	refused("ls --frob", "--frob: no such option");
	refused("--state=ready ls", "--state: no such option before a command");
	refused("ls -x", "-x: no such option");
	refused("ls --state", "--state needs a value: STATE");
	refused("ls --state --json", "--state needs a value: STATE");
	refused("ls --state frob",
		"--state frob: not one of: creating waiting attached ready detached paused draining failed");
	refused("ls --state=", "--state : not one of: creating waiting attached ready detached paused draining failed");
	refused("ls --state ready --state ready", "--state is given twice");
	refused("ls --json=yes", "--json takes no value");
	refused("ls a", "a: one argument too many");
	refused("show", "ID is missing");
	refused("publish a", "P[/PROTO][=ADDR:PORT] is missing");
	refused("reach a", "DEST[:PORT] is missing");
	refused("exec a", "CMD is missing");
	refused("exec --json a -- ls", "--json: exec has nothing to print");
}
END_TEST

START_TEST(a_mistyped_word_is_answered_with_the_nearest)
{
	refused("regsiter a", "regsiter: no such command; did you mean 'register'?");
	refused("unreg a", "unreg: no such command; did you mean 'unregister'?");
	refused("publsh a 80", "publsh: no such command; did you mean 'publish'?");
	refused("sohw a", "sohw: no such command; did you mean 'show'?");
	refused("list", "list: no such command; did you mean 'ls'?");
	refused("x", "x: no such command");
	refused("xyzzy", "xyzzy: no such command");
	refused("ls --sttae ready", "--sttae: no such option; did you mean '--state'?");
	refused("ls --jsno", "--jsno: no such option; did you mean '--json'?");
	refused("register a --prot=80", "--prot: no such option; did you mean '--port'?");
	refused("--sock /x ls", "--sock: no such option before a command; did you mean '--socket'?");
}
END_TEST

START_TEST(the_command_line_of_exec_is_left_alone)
{
	ck_assert_int_eq(parse("exec a -- ls --json -- -x"), 0);
	ck_assert_uint_eq(args.operand_count, 5);
	ck_assert_str_eq(args.operands[1], "ls");
	ck_assert_str_eq(args.operands[2], "--json");
	ck_assert_str_eq(args.operands[3], "--");
	ck_assert_str_eq(args.operands[4], "-x");
	ck_assert_ptr_null(args.operands[5]);
	ck_assert(!args.json);
	ck_assert_int_eq(parse("exec a ls -l"), 0);
	ck_assert_str_eq(args.operands[2], "-l");
}
END_TEST

START_TEST(help_needs_nothing_else)
{
	ck_assert_int_eq(parse("--help"), 0);
	ck_assert_int_eq(parse("show --help"), 0);
	ck_assert(args.help);
	ck_assert_int_eq(parse("-h"), 0);
	ck_assert(args.help);
}
END_TEST

START_TEST(numbers_are_whole_and_within_their_limits)
{
	long number;

	ck_assert_int_eq(cli_args_number("X", "65535", 1, 65535, &number, &err), 0);
	ck_assert_int_eq(number, 65535);
	static const char *const wrong[] = { "", "0", "65536", "-1", "+1", " 1", "1 ", "1x", "99999999999999999999" };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_msg(cli_args_number("X", wrong[i], 1, 65535, &number, &err) < 0, "'%s'", wrong[i]);
	ck_assert_str_eq(err.text, "X: '99999999999999999999' is not a number from 1 to 65535");
}
END_TEST

static void published(const char *text, const char *expected)
{
	json_t *port = cli_port_to_publish(&args, "P", text, &err);

	ck_assert_msg(port != NULL, "%s: %s", text, err.text);
	char *json = json_dumps(port, JSON_COMPACT | JSON_ENCODE_ANY);
	ck_assert_str_eq(json, expected);
	free(json);
	json_decref(port);
}

START_TEST(ports_become_what_the_api_wants)
{
	published("8080", "8080");
	published("8080=127.0.0.1:18080", "{\"guest_port\":8080,\"listen\":\"127.0.0.1:18080\"}");
	published("8080=[::1]:18080", "{\"guest_port\":8080,\"listen\":\"[::1]:18080\"}");
	published("1=localhost:2", "{\"guest_port\":1,\"listen\":\"localhost:2\"}");
	published("53/udp", "{\"guest_port\":53,\"proto\":\"udp\"}");
	published("53/udp=127.0.0.1:53", "{\"guest_port\":53,\"proto\":\"udp\",\"listen\":\"127.0.0.1:53\"}");
	static const char *const wrong[] = { "",
					     "0",
					     "70000",
					     "x",
					     "80=",
					     "80=localhost",
					     "80=localhost:0",
					     "80=1:2",
					     "=1",
					     "80=127.0.0.1",
					     "53/",
					     "53/icmp",
					     "53/udpx",
					     "53/udp/tcp",
					     "/udp",
					     "80=1/udp",
					     "8080808080808080808080=1" };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_msg(cli_port_to_publish(&args, "P", wrong[i], &err) == NULL, "'%s'", wrong[i]);
}
END_TEST

START_TEST(options_of_publish_are_of_all_its_ports)
{
	ck_assert_int_eq(parse("publish a 80 --proxy-protocol"), 0);
	published("80", "{\"guest_port\":80,\"proxy_protocol\":\"v2\"}");
	ck_assert_int_eq(parse("publish a 80 --nat"), 0);
	published("80=192.0.2.1:80", "{\"guest_port\":80,\"listen\":\"192.0.2.1:80\",\"via\":\"nat\"}");
	ck_assert_ptr_null(cli_port_to_publish(&args, "P", "80", &err));
	ck_assert_str_eq(err.text, "P 80: --nat needs the address: 80=ADDR:PORT");
}
END_TEST

START_TEST(times_and_sizes_have_units)
{
	json_int_t value;

	ck_assert_int_eq(cli_value_duration("--idle", "1500ms", &value, &err), 0);
	ck_assert_int_eq(value, 1500);
	ck_assert_int_eq(cli_value_duration("--idle", "2h", &value, &err), 0);
	ck_assert_int_eq(value, 7200000);
	ck_assert_int_eq(cli_value_duration("--idle", "none", &value, &err), 0);
	ck_assert_int_eq(value, 0);
	static const char *const times[] = { "", "s", "5", "-5s", "5 s", "5S", "5sx", "1234567890123s", "nones" };
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		ck_assert_msg(cli_value_duration("--idle", times[i], &value, &err) < 0, "'%s'", times[i]);
	ck_assert_int_eq(cli_value_size("--to-guest", "12M", 3, &value, &err), 0);
	ck_assert_int_eq(value, 12 << 20);
	ck_assert_int_lt(cli_value_size("--to-guest", "12MB", 4, &value, &err), 0);
	json_t *rate = cli_value_rate("--to-guest", "1G,64K", &err);
	ck_assert_int_eq(json_integer_value(json_object_get(rate, "rate")), 1 << 30);
	ck_assert_int_eq(json_integer_value(json_object_get(rate, "burst")), 65536);
	json_decref(rate);
	ck_assert_ptr_null(cli_value_rate("--to-guest", "1G,", &err));
	ck_assert_str_eq(err.text, "--to-guest: '' is no number of bytes, as 65536, 512K, 12M, 1G or none");
}
END_TEST

START_TEST(ports_are_taken_back_by_number_or_address)
{
	json_t *port = cli_port_to_unpublish(&args, "P", "8080", &err);
	ck_assert_int_eq(json_integer_value(port), 8080);
	json_decref(port);
	port = cli_port_to_unpublish(&args, "P", "[::1]:18080", &err);
	ck_assert_str_eq(json_string_value(port), "[::1]:18080");
	json_decref(port);
	port = cli_port_to_unpublish(&args, "P", "53/udp", &err);
	ck_assert_str_eq(json_string_value(port), "53/udp");
	json_decref(port);
	ck_assert_ptr_null(cli_port_to_unpublish(&args, "P", "53/x", &err));
	ck_assert_str_eq(err.text, "P 53/x: 'x' is neither tcp nor udp");
	ck_assert_ptr_null(cli_port_to_unpublish(&args, "P", "127.0.0.1:0", &err));
	ck_assert_str_eq(err.text, "P: '127.0.0.1:0' is neither a port nor ADDR:PORT");
	ck_assert_ptr_null(cli_port_to_unpublish(&args, "P", "x", &err));
}
END_TEST

int main(void)
{
	TCase *parsing = tcase_create("parsing");
	tcase_add_checked_fixture(parsing, NULL, teardown);
	tcase_add_test(parsing, options_go_before_and_behind_the_command);
	tcase_add_test(parsing, an_option_may_have_a_letter_where_it_is_known);
	tcase_add_test(parsing, an_option_that_repeats_keeps_its_order);
	tcase_add_test(parsing, mistakes_name_the_argument);
	tcase_add_test(parsing, a_mistyped_word_is_answered_with_the_nearest);
	tcase_add_test(parsing, the_command_line_of_exec_is_left_alone);
	tcase_add_test(parsing, help_needs_nothing_else);
	tcase_add_test(parsing, numbers_are_whole_and_within_their_limits);
	tcase_add_test(parsing, ports_become_what_the_api_wants);
	tcase_add_test(parsing, options_of_publish_are_of_all_its_ports);
	tcase_add_test(parsing, times_and_sizes_have_units);
	tcase_add_test(parsing, ports_are_taken_back_by_number_or_address);

	Suite *suite = suite_create("cli_args");
	suite_add_tcase(suite, parsing);

	return run_suite(suite);
}

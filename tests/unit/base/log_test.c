/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/log.h"
#include "base/log_limit.h"

#include "base/log_line.h"
#include "unit/run_suite.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

static int stderr_before, captured;
static char line[8192];

static void setup(void)
{
	char path[] = "/tmp/weft-log-test.XXXXXX";

	captured = mkostemp(path, O_APPEND);
	ck_assert_int_ge(captured, 0);
	unlink(path);
	stderr_before = dup(STDERR_FILENO);
	dup2(captured, STDERR_FILENO);
}

static void teardown(void)
{
	dup2(stderr_before, STDERR_FILENO);
	close(stderr_before);
	close(captured);
}

/* The next line that was logged, without its time and its end; "" if there is none. */
static const char *logged(void)
{
	static off_t position;
	ssize_t count = pread(captured, line, sizeof(line) - 1, position);

	ck_assert_int_ge(count, 0);
	if (count == 0)
		return "";
	line[count] = '\0';

	char *end = strchr(line, '\n');
	ck_assert_ptr_nonnull(end);
	*end = '\0';
	position += end + 1 - line;
	return strncmp(line, "time=", 5) == 0 ? strchr(line, ' ') + 1 : line;
}

START_TEST(a_line_is_a_message_and_its_fields)
{
	log_info("sandbox registered", F_STR("sandbox", "a1"), F_UINT("slot", 7), F_INT("delta", -3));
	ck_assert_str_eq(logged(), "level=info msg=\"sandbox registered\" sandbox=a1 slot=7 delta=-3");
	log_warning("plain");
	ck_assert_str_eq(logged(), "level=warning msg=plain");
}
END_TEST

START_TEST(a_line_on_stderr_has_its_time_with_milliseconds)
{
	int year, month, day, hour, minute, second, ms, end = 0;

	log_info("x");
	logged();
	ck_assert_int_eq(sscanf(line, "time=%4d-%2d-%2dT%2d:%2d:%2d.%3dZ %nlevel=info", &year, &month, &day, &hour,
				&minute, &second, &ms, &end),
			 7);
	ck_assert_int_eq(end, sizeof("time=2026-01-14T09:37:00.123Z ") - 1);
}
END_TEST

START_TEST(below_the_level_nothing_is_written)
{
	log_debug("unseen");
	log_setup(LOG_ERROR_LEVEL, LOG_TEXT_FORMAT, LOG_TO_STDERR);
	log_warning("unseen");
	ck_assert_str_eq(logged(), "");
	log_error("seen");
	ck_assert_str_eq(logged(), "level=error msg=seen");
}
END_TEST

START_TEST(a_null_string_is_left_out)
{
	log_info("x", F_STR("gone", NULL), F_STR("empty", ""), F_STR("kept", "1"));
	ck_assert_str_eq(logged(), "level=info msg=x empty=\"\" kept=1");
	log_info("x", F_SOME("gone", 0), F_SOME("kept", 2));
	ck_assert_str_eq(logged(), "level=info msg=x kept=2");
}
END_TEST

START_TEST(bytes_from_outside_end_neither_value_nor_line)
{
	log_info("x", F_STR("a", "1 level=error"), F_STR("b", "q\"\\"), F_STR("c", "one\ntwo\033[2J"));
	ck_assert_str_eq(logged(),
			 "level=info msg=x a=\"1 level=error\" b=\"q\\\"\\\\\" c=\"one\\u000atwo\\u001b[2J\"");
}
END_TEST

START_TEST(json_lines_are_json_whatever_the_bytes)
{
	static const struct {
		const char *given, *told;
	} cases[] = {
		{ "plain", "plain" },
		{ "quote \" slash \\ nl \n", "quote \" slash \\ nl \n" },
		{ "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xa7",
		  "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\xa7" },
		{ "\xff", "\xef\xbf\xbd" },
		{ "\xc3", "\xef\xbf\xbd" },
		{ "\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd" },                 /* longer than need be */
		{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* a surrogate */
		{ "\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
	};

	log_setup(LOG_INFO_LEVEL, LOG_JSON_FORMAT, LOG_TO_STDERR);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_error_t error;

		log_info("message", F_STR("sandbox", cases[i].given), F_UINT("n", UINT64_MAX / 2), F_INT("m", -1));
		json_t *object = json_loads(logged(), JSON_REJECT_DUPLICATES, &error);
		ck_assert_msg(object != NULL, "%s: %s", error.text, line);
		ck_assert_str_eq(json_string_value(json_object_get(object, "level")), "info");
		ck_assert_str_eq(json_string_value(json_object_get(object, "msg")), "message");
		ck_assert_str_eq(json_string_value(json_object_get(object, "sandbox")), cases[i].told);
		ck_assert_int_eq(json_integer_value(json_object_get(object, "m")), -1);
		ck_assert_ptr_nonnull(json_object_get(object, "time"));
		json_decref(object);
	}
}
END_TEST

START_TEST(a_line_that_is_too_long_is_cut_between_fields)
{
	char longer[5000];

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	log_info("x", F_STR("a", "1"), F_STR("long", longer), F_STR("b", "2"));
	ck_assert_str_eq(logged(), "level=info msg=x a=1 cut=1");

	log_setup(LOG_INFO_LEVEL, LOG_JSON_FORMAT, LOG_TO_STDERR);
	log_info("x", F_STR("a", "1"), F_STR("long", longer));
	json_t *object = json_loads(logged(), 0, NULL);
	ck_assert_ptr_nonnull(object);
	ck_assert_int_eq(json_integer_value(json_object_get(object, "cut")), 1);
	json_decref(object);
}
END_TEST

START_TEST(events_that_repeat_are_written_five_times)
{
	for (int i = 0; i < 8; i++)
		log_seldom(LOG_ERROR_LEVEL, "stuck", F_UINT("slot", 7));
	for (int i = 0; i < 5; i++)
		ck_assert_str_eq(logged(), "level=error msg=stuck slot=7");
	ck_assert_str_eq(logged(), "");
}
END_TEST

START_TEST(errno_is_left_alone)
{
	close(STDERR_FILENO);
	errno = ENOENT;
	log_error("nobody reads this");
	ck_assert_int_eq(errno, ENOENT);
}
END_TEST

static void *write_lines(void *arg)
{
	for (int i = 0; i < 500; i++)
		log_info("line", F_STR("of", arg), F_STR("pad", "0123456789012345678901234567890123456789"));
	return NULL;
}

START_TEST(lines_of_many_threads_do_not_mix)
{
	pthread_t threads[3];
	int count = 0;

	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, write_lines, (void *)(i ? "a" : "bcd")), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	for (const char *text = logged(); *text; text = logged(), count++)
		ck_assert(strcmp(text, "level=info msg=line of=a pad=0123456789012345678901234567890123456789") == 0 ||
			  strcmp(text, "level=info msg=line of=bcd pad=0123456789012345678901234567890123456789") == 0);
	ck_assert_int_eq(count, 1500);
}
END_TEST

static const struct log_limit two_an_hour = { .burst = 2, .interval_ms = 3600000 };

enum { NOW_MS = 1000000 };

/* How many of COUNT lines about SANDBOX pass at NOW_MS. */
static unsigned passed(const char *message, const char *sandbox, unsigned slot, unsigned count, uint64_t now_ms)
{
	unsigned result = 0;

	for (unsigned i = 0; i < count; i++)
		result += log_limit_admits(&two_an_hour, LOG_WARNING_LEVEL, message, sandbox, slot, now_ms);
	return result;
}

START_TEST(each_sandbox_and_message_has_a_limit_of_its_own)
{
	ck_assert_uint_eq(passed("repaired", "a1", 0, 5, NOW_MS), 2);
	ck_assert_uint_eq(passed("repaired", "b2", 0, 1, NOW_MS), 1);
	ck_assert_uint_eq(passed("in order again", "a1", 0, 1, NOW_MS), 1);
	ck_assert_uint_eq(passed("repaired", NULL, 7, 1, NOW_MS), 1);
	ck_assert_uint_eq(passed("repaired", NULL, 0, 1, NOW_MS), 1);
	ck_assert_str_eq(logged(), "");
	log_limit_tell(NOW_MS + LOG_LIMIT_TELL_MS - 1);
	ck_assert_str_eq(logged(), "");
	log_limit_tell(NOW_MS + LOG_LIMIT_TELL_MS);
	ck_assert_str_eq(logged(), "level=warning msg=\"log lines suppressed\" sandbox=a1 of=repaired suppressed=3");
	ck_assert_str_eq(logged(), "");
	/* Told once. */
	log_limit_tell_all();
	ck_assert_str_eq(logged(), "");
}
END_TEST

START_TEST(what_is_left_is_told_with_the_next_line_and_at_the_end)
{
	uint64_t later_ms = NOW_MS + two_an_hour.interval_ms;

	ck_assert_uint_eq(passed("repaired", "a1", 0, 3, NOW_MS), 2);
	ck_assert_uint_eq(passed("repaired", "a1", 0, 1, later_ms), 1);
	ck_assert_str_eq(logged(), "level=warning msg=\"log lines suppressed\" sandbox=a1 of=repaired suppressed=1");
	ck_assert_uint_eq(passed("slot not looked at", NULL, 7, 4, NOW_MS), 2);
	log_limit_tell_all();
	ck_assert_str_eq(logged(), "level=warning msg=\"log lines suppressed\" slot=7 of=\"slot not looked at\" "
				   "suppressed=2");
	ck_assert_str_eq(logged(), "");
}
END_TEST

START_TEST(a_full_table_shares_one_limit_and_empties)
{
	char id[16];
	unsigned others = 0;

	for (unsigned i = 0; i < LOG_LIMIT_ENTRIES; i++) {
		snprintf(id, sizeof(id), "s%u", i);
		ck_assert_uint_eq(passed("repaired", id, 0, 1, NOW_MS), 1);
	}
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(id, sizeof(id), "t%u", i);
		others += passed("repaired", id, 0, 1, NOW_MS);
	}
	ck_assert_uint_eq(others, 100);
	log_limit_tell(NOW_MS + LOG_LIMIT_TELL_MS);
	ck_assert_str_eq(logged(), "level=warning msg=\"log lines suppressed\" of=\"lines of other sandboxes\" "
				   "suppressed=900");
	log_limit_tell(NOW_MS + two_an_hour.interval_ms);
	ck_assert_uint_eq(passed("repaired", "t1", 0, 3, NOW_MS + two_an_hour.interval_ms), 2);
	log_limit_tell_all();
	ck_assert_str_eq(logged(), "level=warning msg=\"log lines suppressed\" sandbox=t1 of=repaired suppressed=1");
}
END_TEST

static void write_seldom(const char *sandbox)
{
	log_seldom(LOG_INFO_LEVEL, "repaired", F_STR("sandbox", sandbox), F_STR("what", "route"));
}

START_TEST(a_seldom_line_takes_its_sandbox_from_its_fields)
{
	for (unsigned i = 0; i < 8; i++)
		write_seldom("a1");
	write_seldom("b2");
	for (unsigned i = 0; i < 5; i++)
		ck_assert_str_eq(logged(), "level=info msg=repaired sandbox=a1 what=route");
	ck_assert_str_eq(logged(), "level=info msg=repaired sandbox=b2 what=route");
	log_limit_tell_all();
	ck_assert_str_eq(logged(), "level=info msg=\"log lines suppressed\" sandbox=a1 of=repaired suppressed=3");
}
END_TEST

/* systemd.io/JOURNAL_NATIVE_PROTOCOL */
START_TEST(a_record_of_the_journal_has_the_line_and_its_fields)
{
	static const char expected[] = "MESSAGE=level=warning msg=\"sandbox registered\" sandbox=a1 slot=-7 "
				       "error=\"two\\u000alines\"\n"
				       "PRIORITY=4\n"
				       "SYSLOG_IDENTIFIER=weftd\n"
				       "WEFT_SANDBOX=a1\n"
				       "WEFT_SLOT=-7\n"
				       "WEFT_ERROR\n"
				       "\x09\0\0\0\0\0\0\0two\nlines\n";
	const struct log_field fields[] = {
		F_STR("sandbox", "a1"), F_INT("slot", -7), F_SOME("gone", 0), F_STR("error", "two\nlines"), { 0 }
	};
	struct log_line record;

	log_line_set_shape(LOG_TEXT_FORMAT, LOG_TO_JOURNAL);
	log_line_compose(&record, LOG_WARNING_LEVEL, "sandbox registered", fields);
	ck_assert_uint_eq(record.size, sizeof(expected) - 1);
	ck_assert_mem_eq(record.bytes, expected, record.size);
}
END_TEST

START_TEST(a_record_leaves_out_fields_that_have_no_room)
{
	char longer[20000];
	const struct log_field fields[] = { F_STR("a", longer), F_STR("b", "2"), { 0 } };
	static const char end[] = "\nWEFT_B=2\n";
	struct log_line record;

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	log_line_set_shape(LOG_TEXT_FORMAT, LOG_TO_JOURNAL);
	log_line_compose(&record, LOG_ERROR_LEVEL, "x", fields);
	ck_assert_uint_lt(record.size, 256);
	ck_assert_mem_eq(record.bytes + record.size - strlen(end), end, strlen(end));
}
END_TEST

int main(void)
{
	TCase *cases = tcase_create("log");
	tcase_add_checked_fixture(cases, setup, teardown);
	tcase_add_test(cases, a_line_is_a_message_and_its_fields);
	tcase_add_test(cases, a_line_on_stderr_has_its_time_with_milliseconds);
	tcase_add_test(cases, below_the_level_nothing_is_written);
	tcase_add_test(cases, a_null_string_is_left_out);
	tcase_add_test(cases, bytes_from_outside_end_neither_value_nor_line);
	tcase_add_test(cases, json_lines_are_json_whatever_the_bytes);
	tcase_add_test(cases, a_line_that_is_too_long_is_cut_between_fields);
	tcase_add_test(cases, a_record_of_the_journal_has_the_line_and_its_fields);
	tcase_add_test(cases, a_record_leaves_out_fields_that_have_no_room);
	tcase_add_test(cases, errno_is_left_alone);
	tcase_add_test(cases, events_that_repeat_are_written_five_times);
	tcase_add_test(cases, lines_of_many_threads_do_not_mix);
	tcase_add_test(cases, each_sandbox_and_message_has_a_limit_of_its_own);
	tcase_add_test(cases, what_is_left_is_told_with_the_next_line_and_at_the_end);
	tcase_add_test(cases, a_full_table_shares_one_limit_and_empties);
	tcase_add_test(cases, a_seldom_line_takes_its_sandbox_from_its_fields);

	Suite *suite = suite_create("log");
	suite_add_tcase(suite, cases);

	return run_suite(suite);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The password file. */
#include "catalog/credentials.h"

#include "base/err.h"
#include "unit/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[] = "/tmp/weft-credentials-XXXXXX";
static struct catalog_credentials credentials;
static struct err err;

static void setup(void)
{
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	close(fd);
}

static void teardown(void)
{
	unlink(path);
}

static int read_text(const char *text, size_t length)
{
	FILE *file = fopen(path, "we");

	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(text, 1, length, file), length);
	fclose(file);
	return catalog_credentials_read(path, &credentials, &err);
}

static void reads(const char *text, const char *user, const char *password)
{
	ck_assert_msg(read_text(text, strlen(text)) == 0, "%s", err.text);
	ck_assert_str_eq(credentials.user, user);
	ck_assert_str_eq(credentials.password, password);
}

static void refuses(const char *text, size_t length, const char *why)
{
	ck_assert_int_eq(read_text(text, length), -1);
	ck_assert_msg(strstr(err.text, why), "%s", err.text);
	ck_assert(!credentials.user[0] && !credentials.password[0]);
}

START_TEST(a_line_is_the_password_and_two_are_user_and_password)
{
	reads("secret", "", "secret");
	reads("secret\n", "", "secret");
	reads("pass word # \r\n", "", "pass word # ");
	reads("weft\nsecret\n", "weft", "secret");
	ck_assert_int_eq(catalog_credentials_read(NULL, &credentials, &err), 0);
	ck_assert(!credentials.password[0]);
}
END_TEST

START_TEST(what_is_no_password_is_refused)
{
	static char longer[1500];

	refuses("", 0, "empty");
	refuses("\nsecret\n", 8, "empty");
	refuses("a\nb\nc\n", 6, "two lines");
	refuses("a\0b", 3, "no text");
	memset(longer, 'x', sizeof(longer));
	refuses(longer, sizeof(longer), "too long");
}
END_TEST

START_TEST(a_file_that_others_can_use_is_refused)
{
	static const mode_t modes[] = { 0640, 0604, 0620, 0601 };

	reads("secret", "", "secret");
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		ck_assert_int_eq(chmod(path, modes[i]), 0);
		ck_assert_int_eq(catalog_credentials_read(path, &credentials, &err), -1);
		ck_assert_ptr_nonnull(strstr(err.text, "lets others use it"));
	}
	ck_assert_int_eq(catalog_credentials_read("/dev/null", &credentials, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "not a regular file"));
	ck_assert_int_eq(catalog_credentials_read("/nonexistent/file", &credentials, &err), -1);
}
END_TEST

START_TEST(a_file_of_another_user_is_refused)
{
	if (geteuid() != 0)
		return;
	ck_assert_int_eq(read_text("secret", 6), 0);
	ck_assert_int_eq(chown(path, 65534, 65534), 0);
	ck_assert_int_eq(catalog_credentials_read(path, &credentials, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "belongs to uid 65534"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("credentials");
	TCase *tests = tcase_create("credentials");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, a_line_is_the_password_and_two_are_user_and_password);
	tcase_add_test(tests, what_is_no_password_is_refused);
	tcase_add_test(tests, a_file_that_others_can_use_is_refused);
	tcase_add_test(tests, a_file_of_another_user_is_refused);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}

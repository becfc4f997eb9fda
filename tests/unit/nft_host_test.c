/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nft_lab.h"

#include "base/err.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct lab lab;
static struct err err;

static void setup(void)
{
	err = (struct err){ 0 };
	lab = lab_open();
}

#define OK(call) ck_assert_msg((call) == 0, "%s", err.text)

START_TEST(the_table_that_was_made_is_the_one_that_is_checked_for)
{
	bool intact = true;

	OK(nft_host_check(lab.config, &intact, &err));
	ck_assert(!intact);
	OK(nft_host_apply(lab.config, &err));
	OK(nft_host_check(lab.config, &intact, &err));
	ck_assert(intact);
}
END_TEST

START_TEST(its_listing_can_be_loaded_again_and_is_then_still_intact)
{
	bool intact = false;

	OK(nft_host_apply(lab.config, &err));
	char *listing = lab_round_trip();
	free(listing);
	OK(nft_host_check(lab.config, &intact, &err));
	ck_assert(intact);
}
END_TEST

int main(void)
{
	lab_require_root();
	TCase *table = tcase_create("table");
	tcase_add_checked_fixture(table, setup, NULL);
	tcase_add_test(table, the_table_that_was_made_is_the_one_that_is_checked_for);
	tcase_add_test(table, its_listing_can_be_loaded_again_and_is_then_still_intact);

	Suite *suite = suite_create("nft_host");
	suite_add_tcase(suite, table);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

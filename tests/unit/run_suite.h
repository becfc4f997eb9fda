/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_TESTS_UNIT_RUN_SUITE_H
#define WEFT_TESTS_UNIT_RUN_SUITE_H

#include <check.h>
#include <stdlib.h>

/* Runs SUITE, which is freed; returns the program's exit status. How much is told: CK_VERBOSITY. */
static inline int run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);

	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif

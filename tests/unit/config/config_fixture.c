/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/config/config_fixture.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

struct config *config;
struct config_mistakes mistakes;

void config_teardown(void)
{
	config_free(config);
	config = NULL;
	config_mistakes_clear(&mistakes);
}

void load_bytes(const char *text, size_t size)
{
	FILE *stream = fmemopen((void *)text, size, "r");

	ck_assert_ptr_nonnull(stream);
	config = config_load_stream(stream, "weftd.conf", NULL, &mistakes);
	fclose(stream);
	ck_assert_int_eq(config == NULL, mistakes.count > 0);
}

void load(const char *text)
{
	load_bytes(text, strlen(text));
}

void expect_mistake(const char *text, const char *expected)
{
	char told[512];

	load(text);
	ck_assert_msg(mistakes.count == 1, "%zu mistakes in: %s", mistakes.count, text);
	config_mistake_format(&mistakes, &mistakes.items[0], told, sizeof(told));
	ck_assert_str_eq(told, expected);
	config_teardown();
}

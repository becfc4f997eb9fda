/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_TESTS_UNIT_CONFIG_CONFIG_FIXTURE_H
#define WEFT_TESTS_UNIT_CONFIG_CONFIG_FIXTURE_H

/*
 * A configuration that is read from a text.
 */

#include "config/config.h"

extern struct config *config; /* NULL: there are mistakes */
extern struct config_mistakes mistakes;

void config_teardown(void);

/* Reads a text as the file weftd.conf. */
void load(const char *text);
void load_bytes(const char *text, size_t size);

/* TEXT must lead to this mistake and no other. */
void expect_mistake(const char *text, const char *expected);

#endif

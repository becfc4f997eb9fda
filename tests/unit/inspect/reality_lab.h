/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_TESTS_REALITY_LAB_H
#define WEFT_TESTS_REALITY_LAB_H

/*
 * The model of rulesets beside the kernel: random rules are loaded into a namespace by the programs that people use, packets are sent, and
 * what the model said must be what became of them. WEFT_SEED makes others.
 */

#include <check.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { REALITY_TEXT = 8192 };

/* The ways of a packet that the tests send: from the host, through it, to it, and a reply through it. */
enum way { WAY_OUT, WAY_THROUGH, WAY_IN, WAY_BACK, WAYS };

struct tally {
	unsigned caught, free, perhaps;
};

/* A host of the test's own; a fixture. */
void reality_setup(void);
void reality_teardown(void);

/* A random number, or word. */
unsigned some(unsigned below);
const char *one_of(const char *const *list, size_t count);
#define ONE_OF(...)                                                                                                    \
	one_of((const char *const[]){ __VA_ARGS__ },                                                                   \
	       sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(const char *))

/* Loads TEXT with PROGRAM. Whether the program took it; why it did not is on stderr. */
bool reality_load(const char *program, const char *text);

/* Makes the connections that WAY_BACK's replies belong to, and has the kernel track. */
void reality_begin(enum way way);

/* Sends packets of WAY to some ports and compares; TEXT: the rules, for the message. */
void reality_compare(enum way way, const char *text, struct tally *tally);

/* Prints the tally, in which nothing may be a doubt. */
void reality_tell(enum way way, const struct tally *tally);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_TESTS_UNIT_FORWARDER_DOOR_LAB_H
#define WEFT_TESTS_UNIT_FORWARDER_DOOR_LAB_H

/* A forwarder with a door, anew for each test, and clients that come there. */

#include "config/config.h"
#include "config/door_policy.h"
#include "unit/forwarder/handover_lab.h"

#include <check.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HEADER_SIZE = 256, SOME = 3000, MUCH = 900 * 1000, HOLD_MS = 20 };

extern struct handover_lab lab;
extern struct flow flow, other; /* closed at the end */
extern int door;                /* the socket that listens */

/* A new case of SUITE. */
TCase *door_add_case(Suite *suite, const char *name);

uint16_t guest_port(void);

/* A port of the guest's that is bound, by FD, so that nobody has it, and does not listen. */
uint16_t closed_port(int *fd);

/* A header for 192.0.2.7:5555 with the unique id ID. Returns its size. */
size_t write_header(const char *id, char header[static HEADER_SIZE]);

/* A client that has said nothing yet. */
int knock(void);

/* A client that wants PORT of NAME; the guest's port; and that of the lab's sandbox, which has accepted. */
void ask_port(struct flow *asking, char kind, const char *name, unsigned port, const char *token);
void ask(struct flow *asking, const char *name);
void open_one(struct flow *asking);

/* Reads the reply up to the end, and finds TEXT in it. */
void expect_reply(struct flow *asking, const char *text);

struct fwd_door_stats stats(void);

/* Hashes of tokens, and a policy that has the first. */
extern const char right[], wrong[];
struct door_policy policy_with_token(bool is_public);

#endif

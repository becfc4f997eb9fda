/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_RECORD_TARGET_H
#define WEFT_FORWARDER_RECORD_TARGET_H

#include <stdbool.h>

struct fwd_target;
struct record_cursor;

/* Reads the contents of a record's part TAG_TARGET. False: they cannot be right, and TARGET is undefined. Pure; any thread. */
bool fwd_record_read_target(struct record_cursor *cursor, struct fwd_target *target);

#endif

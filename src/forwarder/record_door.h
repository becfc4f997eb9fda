/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FORWARDER_RECORD_DOOR_H
#define WEFT_FORWARDER_RECORD_DOOR_H

#include "forwarder/frozen.h"

struct record_cursor;

/* Reads the parts of FROZEN, a connection through the door, and of any client. False: they cannot be right. */
bool fwd_record_read_door(struct record_cursor *cursor, struct frozen *frozen);
bool fwd_record_read_client(struct record_cursor *cursor, struct addr *client);

#endif

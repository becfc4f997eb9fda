/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_RECALL_H
#define WEFT_DAEMON_RECALL_H

/* A sandbox as its file has it becomes one of the registry's, with its tenant, at the start. Main thread only. */

struct daemon;
struct err;
struct stored;

/* Registers the sandbox of STORED, of which it takes over what it needs. 0, or -1 with ERR, and there is no such sandbox. */
int daemon_recall_sandbox(struct daemon *daemon, struct stored *stored, struct err *err);

/* A sandbox is to have the id ID: one that has it as its name has none any more. */
void daemon_recall_free_id(struct daemon *daemon, const char *id);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_BASE_LOG_QUEUE_H
#define WEFT_BASE_LOG_QUEUE_H

/* The lines between those who log and the thread that writes. */

#include "base/log_line.h"

struct err;

enum { LOG_QUEUE_SIZE = 1024 * 1024 };

/* Starts the thread. 0, or -1 with ERR. Main thread. */
int log_queue_start(struct err *err);

/*
 * Whether the queue took care of LINE: it is in it, or it is lost and counted. False: there is no thread, so the caller writes.
 * Waits for nobody. Any thread.
 */
bool log_queue_put(const struct log_line *line);

/*
 * Gives the thread PATIENCE_MS to write all that is there, and ends it. A thread that waits for its reader longer is abandoned,
 * and lines after that are lost; else the next line is the caller's to write. Main thread.
 */
void log_queue_stop(unsigned patience_ms);

/*
 * Writes what is in the queue as far as the reader takes it at once. Before that it gives the thread PATIENCE_MS to end a write, as
 * those lines are older. For a signal handler in a process that ends.
 */
void log_queue_offer_all(unsigned patience_ms);

/* Lines that the log's reader never gets. Any thread. */
uint64_t log_queue_lost(void);

#endif

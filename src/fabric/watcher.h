/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_WATCHER_H
#define WEFT_FABRIC_WATCHER_H

struct fabric;

/* Reports those moves of slots to fabric->watcher that are the daemon's business. To be called once. Main thread. */
void fabric_report_moves(struct fabric *fabric);

#endif

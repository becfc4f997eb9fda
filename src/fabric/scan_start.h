/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_SCAN_START_H
#define WEFT_FABRIC_SCAN_START_H

/* What fabric_scan() needs, made beforehand. Main thread. */

struct err;
struct fabric;
struct scanning;

/* NULL with ERR. */
struct scanning *fabric_scanning_new(struct fabric *fabric, struct err *err);

/* After the threads have stopped and the mailbox is empty. A caller that still waits gets ECANCELED. NULL is fine. */
void fabric_scanning_free(struct scanning *scanning);

#endif

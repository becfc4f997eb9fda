/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_DEFER_H
#define WEFT_FABRIC_DEFER_H

struct fabric;

/* A claim begins: work in the background of both threads is deferred for a few milliseconds, within limits. Main thread. */
void fabric_defer_background(struct fabric *fabric);

#endif

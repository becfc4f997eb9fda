/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_RELIEF_H
#define WEFT_FABRIC_RELIEF_H

/* Tries again what did not come off: in its time, and ahead of it when a shortage is over. Main thread alone. */

struct err;
struct fabric;
struct relief;

/* fabric->met_shortage leads to it from now on. NULL with ERR. */
struct relief *fabric_relief_new(struct fabric *fabric, struct err *err);

/* NULL is fine. After the last job was finished. */
void fabric_relief_free(struct relief *relief);

/* A second has passed: tries the troubles again whose time has come. */
void fabric_relief_tick(struct fabric *fabric);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_OBSERVE_H
#define WEFT_FABRIC_OBSERVE_H

/* Hears of changes in the kernel, of links, addresses, routes, rules and names, and has the slots concerned looked at. */

struct err;
struct fabric;
struct observer;

/* Opens the monitors and listens from now on. Needs CAP_NET_BROADCAST. NULL with ERR. Main thread. */
struct observer *fabric_observer_new(struct fabric *fabric, struct err *err);

/* Hears nothing more of the names of namespaces. Main thread. */
void fabric_observer_forget_names(struct observer *observer);

/* NULL is fine. Main thread. */
void fabric_observer_free(struct observer *observer);

#endif

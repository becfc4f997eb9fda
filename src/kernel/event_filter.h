/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_EVENT_FILTER_H
#define WEFT_KERNEL_EVENT_FILTER_H

/*
 * What a monitor's socket (observe.c) need not hear is left out by the kernel: making a slot sends some thirty messages, of
 * which the monitors want a few, and each would wake the thread that answers the control socket. What a filter does not know
 * passes. Any thread. 0, or -1 with errno: then all is heard, which costs time and nothing else.
 */

/* Links: what went, a namespace's number that went, links that are down, and any change of a TAP. */
int event_filter_links(int fd);

/* Addresses and routes: what went, and main-table routes that took another's place. */
int event_filter_routes(int fd);

/* Rules: everything but new generations. */
int event_filter_rules(int fd);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_EVENT_FILTER_H
#define WEFT_KERNEL_EVENT_FILTER_H

/*
 * Filters in the kernel for the messages that a monitor's socket need not receive. Making a slot sends some thirty messages, of
 * which the monitors want a few, and each would wake the thread that answers the control socket. A message that a filter does not
 * know passes. Any thread. 0, or -1 with errno: then all messages are received, which costs time and nothing else.
 */

/* Passes links that were deleted, or changed in any way but that they came up, and namespaces' numbers that went. */
int kern_event_filter_links(int fd);

/*
 * Passes addresses and routes that were deleted, new addresses without a network, which are never ours, and of others' new routes of
 * the main table those that took another's place or lead to a single address. Policy rules pass.
 */
int kern_event_filter_routes(int fd);

/* Passes all messages about rules but new generations. */
int kern_event_filter_rules(int fd);

/* Passes changes of the link numbered INDEX (0: of none), and default routes that come and go. Of links and routes alone. */
int kern_event_filter_uplink(int fd, int index);

#endif

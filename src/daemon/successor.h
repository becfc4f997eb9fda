/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_SUCCESSOR_H
#define WEFT_DAEMON_SUCCESSOR_H

struct config;
struct health_facts;
struct health_report;

/*
 * Whether a weftd that starts when the one that runs has ended would get its locks and its control socket, whose path is FACTS' own.
 * Adds a finding for each that it would not get. Takes nothing from the daemon that runs. Main thread, before any other.
 */
void daemon_successor_examine(const struct health_facts *facts, const struct config *config,
			      struct health_report *report);

#endif

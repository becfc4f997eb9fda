/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HEALTH_DOCTOR_H
#define WEFT_HEALTH_DOCTOR_H

#include "health/facts.h"
#include "health/findings.h"

/*
 * The checks of a host for faults that look like a broken sandbox from outside. Each is in the file of its name under
 * checks/, adds one finding or more, and only reads.
 */
void check_configuration(const struct health_facts *facts, struct health_report *report);
void check_kernel(const struct health_facts *facts, struct health_report *report);
void check_ip_forward(const struct health_facts *facts, struct health_report *report);
void check_rp_filter(const struct health_facts *facts, struct health_report *report);
void check_conntrack(const struct health_facts *facts, struct health_report *report);
void check_descriptors(const struct health_facts *facts, struct health_report *report);
void check_neighbours(const struct health_facts *facts, struct health_report *report);
void check_routes(const struct health_facts *facts, struct health_report *report);
void check_uplink(const struct health_facts *facts, struct health_report *report);
void check_firewall(const struct health_facts *facts, struct health_report *report);
void check_services(const struct health_facts *facts, struct health_report *report);
void check_redirects(const struct health_facts *facts, struct health_report *report);
void check_tunnels(const struct health_facts *facts, struct health_report *report);
void check_proxy_environment(const struct health_facts *facts, struct health_report *report);
void check_ports(const struct health_facts *facts, struct health_report *report);
void check_door(const struct health_facts *facts, struct health_report *report);
void check_port_range(const struct health_facts *facts, struct health_report *report);
void check_link_group(const struct health_facts *facts, struct health_report *report);
void check_mounts(const struct health_facts *facts, struct health_report *report);
void check_state_directory(const struct health_facts *facts, struct health_report *report);
void check_startup_reclaim(const struct health_facts *facts, struct health_report *report);
void check_loopback(const struct health_facts *facts, struct health_report *report);
void check_catalog(const struct health_facts *facts, struct health_report *report);
void check_wake(const struct health_facts *facts, struct health_report *report);
void check_leftovers(const struct health_facts *facts, struct health_report *report);

/*
 * What check_door() finds part by part, as `weftctl door` shows it: findings of haproxy, files, ports, socket and answer, where a door is
 * not in use too.
 */
void check_door_parts(const struct health_facts *facts, struct health_report *report);

/* Judges what the door at WHERE said when it was asked for BASE_NAME_OF_CHECKS; nothing if it was not. */
void check_door_answer(const struct health_door_answer *answer, const char *where, struct health_report *report);

/* All of them, in that order. */
void health_doctor_examine(const struct health_facts *facts, struct health_report *report);

#endif

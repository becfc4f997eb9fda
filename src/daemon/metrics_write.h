/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_METRICS_WRITE_H
#define WEFT_DAEMON_METRICS_WRITE_H

/* Prometheus' text format, version 0.0.4. */

#include <stdint.h>
#include <stdio.h>

struct daemon;
struct fwd_stats;

/* The two lines that introduce a metric. TYPE: "counter", "gauge", "histogram". */
void daemon_metrics_write_head(FILE *out, const char *name, const char *type, const char *help);

/* A metric of one series. */
void daemon_metrics_show(FILE *out, const char *name, const char *type, const char *help, uint64_t value);

/* The lines of a histogram of durations, by fwd_connect_bucket_ms[]. */
void daemon_metrics_write_histogram(FILE *out, const char *name, const uint64_t *counts, uint64_t sum_us);

/* This process (metrics_system.c): when it was STARTED, and the metrics that say so and more. Seconds since the epoch. */
double daemon_metrics_process_started(void);
void daemon_metrics_write_process(FILE *out, const struct fwd_stats *stats, double started);

/* The host's table of tracked flows (metrics_system.c). */
void daemon_metrics_write_conntrack(FILE *out);

/* The series of each sandbox (metrics_sandboxes.c). */
void daemon_metrics_write_sandboxes(FILE *out, struct daemon *daemon);

/* The door (metrics_door.c); nothing without one. */
void daemon_metrics_write_door(FILE *out, const struct daemon *daemon);

/* What wakes sandboxes (metrics_wake.c). */
void daemon_metrics_write_wake(FILE *out, const struct daemon *daemon);

#endif

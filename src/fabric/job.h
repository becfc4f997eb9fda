/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_JOB_H
#define WEFT_FABRIC_JOB_H

/*
 * The fabric's threads: each takes one job after the other from its queue and reports each to the main thread.
 *
 * Builder, claimer and main set aside up to SPARES_MAX descriptors each (base/spares.h): the calls of kernel/ and nft/ in a job, and
 * main's of the fabric, use them while the process has no others. They are set aside again after each job, and ten times a second
 * while some are missing.
 */

#include "base/err.h"
#include "base/loop.h"
#include "base/queue.h"
#include "kernel/rtnl.h"

#include <stdbool.h>
#include <stdint.h>

/* Which job is begun first. Within one urgency the order is that of posting. */
enum job_urgency {
	JOB_LOOK,    /* a kernel event is to be looked into: short */
	JOB_CLAIM,   /* a caller waits for a reply */
	JOB_REMOVAL, /* a caller may wait, but less; and names, which must not come after it */
	JOB_REFILL,  /* preparation: no caller waits */
	JOB_URGENCIES,
};

struct job_thread;

/* Embedded first in the struct that carries its arguments and results. */
struct job {
	STAILQ_ENTRY(job) next;
	struct mail mail;
	struct job_thread *thread;
	int (*run)(struct job *job);     /* on the thread: 0, or -1 with ERR */
	void (*finish)(struct job *job); /* on main, exactly once; frees the job */
	bool failed;                     /* RUN failed, or was never called */
	struct err err;
};

/*
 * Starts a thread of this name (static), which reports finished jobs through MAILBOX. With HOST_SOCKET it has an RTNETLINK socket of the
 * home namespace. NULL with ERR. Main thread.
 */
struct job_thread *fabric_job_thread_new(const char *name, struct mailbox *mailbox, bool host_socket, struct err *err);

/* Main thread. After fabric_job_thread_stop() the job is finished without being run, with ECANCELED. */
void fabric_job_thread_post(struct job_thread *thread, struct job *job, enum job_urgency urgency);

/* Moves a job behind those of the urgency TO, because a caller waits for it by now; nothing if it was begun. Main thread. */
void fabric_job_thread_urge(struct job_thread *thread, struct job *job, enum job_urgency from, enum job_urgency to);

/* A job that waits with this urgency is finished without being run, with ECANCELED; nothing if it was begun. Main thread. */
void fabric_job_thread_withdraw(struct job_thread *thread, struct job *job, enum job_urgency urgency);

/*
 * Jobs that are not urgent (JOB_REMOVAL and below) are not begun before UNTIL_MS of clock_now_ms(). A deferral is only ever made
 * longer. Main thread.
 */
void fabric_job_thread_defer(struct job_thread *thread, uint64_t until_ms);

/* How many jobs of that urgency wait. Main thread. */
unsigned fabric_job_thread_waiting(struct job_thread *thread, enum job_urgency urgency);

/* Lets the job at hand end, joins the thread and cancels the rest. Main thread; harmless when called twice. */
void fabric_job_thread_stop(struct job_thread *thread);

/* After stopping. NULL is fine. */
void fabric_job_thread_free(struct job_thread *thread);

/* The RTNETLINK socket of the thread that runs JOB. For RUN alone. */
struct kern_rtnl *fabric_job_host(struct job *job);

/* &job->err if the job failed, else NULL. For FINISH. */
const struct err *fabric_job_failure(const struct job *job);

#endif

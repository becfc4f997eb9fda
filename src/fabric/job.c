/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One mutex, one condition and a list per urgency. A job belongs to main until it is posted, to the thread while it waits and
 * runs, and to main again from its message on; so nothing in it is locked. After a stop all jobs are in the mailbox, run or
 * cancelled, and each is finished exactly once. A deferral ends by the clock, so that no call can be forgotten.
 *
 * Spare descriptors that were used up are set aside anew after each job, and between jobs as soon as there are any.
 */
#include "fabric/job.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "base/spares.h"
#include "base/thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

STAILQ_HEAD(job_list, job);

enum { SPARES_RETRY_MS = 100 };

static const char stops[] = "weftd is stopping";

struct job_thread {
	struct base_thread thread;
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct job_list waiting[JOB_URGENCIES]; /* under LOCK */
	unsigned counts[JOB_URGENCIES];         /* under LOCK */
	uint64_t deferred_until_ms;             /* under LOCK: before that, no background job is begun */
	bool stopping;                          /* under LOCK */
	bool running;                           /* main: the thread is to be joined */
	bool ready;                             /* under LOCK: it has set its descriptors aside */
	struct mailbox *mailbox;
	struct kern_rtnl host; /* the thread's */
};

static bool fabric_job_is_background(int urgency)
{
	return urgency >= JOB_REMOVAL;
}

static struct job *fabric_job_next(struct job_thread *thread, bool deferring)
{
	for (int urgency = 0; urgency < JOB_URGENCIES && !(deferring && fabric_job_is_background(urgency)); urgency++) {
		struct job *job = STAILQ_FIRST(&thread->waiting[urgency]);

		if (!job)
			continue;
		STAILQ_REMOVE_HEAD(&thread->waiting[urgency], next);
		thread->counts[urgency]--;
		return job;
	}
	return NULL;
}

/* Waits until a job is posted, the end of a deferral in which one was, or the time to look for missing descriptors. */
static void fabric_job_await_change(struct job_thread *thread, bool deferring)
{
	uint64_t end_ms = UINT64_MAX;
	struct timespec end;

	base_spares_fill();
	if (base_spares_are_short())
		end_ms = clock_now_ms() + SPARES_RETRY_MS;
	if (deferring && (thread->counts[JOB_REFILL] || thread->counts[JOB_REMOVAL]) &&
	    thread->deferred_until_ms < end_ms)
		end_ms = thread->deferred_until_ms;
	if (end_ms == UINT64_MAX) {
		pthread_cond_wait(&thread->work, &thread->lock);
		return;
	}
	end = (struct timespec){ .tv_sec = (time_t)(end_ms / 1000), .tv_nsec = (long)(end_ms % 1000) * 1000000 };
	pthread_cond_timedwait(&thread->work, &thread->lock, &end);
}

/* Waits for work; NULL when the thread shall end. Each look at the queue is a turn. */
static struct job *fabric_job_await(struct job_thread *thread)
{
	struct job *job = NULL;
	bool deferring;

	pthread_mutex_lock(&thread->lock);
	while (!thread->stopping) {
		base_thread_turn(&thread->thread);
		deferring = thread->deferred_until_ms > clock_now_ms();
		job = fabric_job_next(thread, deferring);
		if (job)
			break;
		fabric_job_await_change(thread, deferring);
	}
	pthread_mutex_unlock(&thread->lock);
	return job;
}

static void *fabric_job_run_thread(void *arg)
{
	struct job_thread *thread = arg;
	struct job *job;

	base_spares_fill();
	pthread_mutex_lock(&thread->lock);
	thread->ready = true;
	pthread_cond_signal(&thread->work);
	pthread_mutex_unlock(&thread->lock);
	while ((job = fabric_job_await(thread))) {
		job->failed = job->run(job) < 0;
		base_spares_fill();
		base_mailbox_post(thread->mailbox, &job->mail);
	}
	base_spares_drop();
	return NULL;
}

static void fabric_job_ask(struct base_thread *asked)
{
	struct job_thread *thread = container_of(asked, struct job_thread, thread);

	pthread_mutex_lock(&thread->lock);
	pthread_cond_signal(&thread->work);
	pthread_mutex_unlock(&thread->lock);
}

/* Starts it, and waits until it has set its descriptors aside: then main can count those that are open. */
static int fabric_job_thread_start(struct job_thread *thread, const char *name, struct err *err)
{
	thread->thread.name = name;
	thread->thread.ask = fabric_job_ask;
	if (base_thread_start(&thread->thread, fabric_job_run_thread, thread, err) < 0)
		return -1;
	thread->running = true;
	pthread_mutex_lock(&thread->lock);
	while (!thread->ready)
		pthread_cond_wait(&thread->work, &thread->lock);
	pthread_mutex_unlock(&thread->lock);
	return 0;
}

struct job_thread *fabric_job_thread_new(const char *name, struct mailbox *mailbox, bool host_socket, struct err *err)
{
	struct job_thread *thread = calloc(1, sizeof(*thread));
	pthread_condattr_t monotonic;

	if (!thread) {
		err_set(err, ENOMEM, "thread %s", name);
		return NULL;
	}
	thread->host = (struct kern_rtnl)KERN_RTNL_CLOSED;
	pthread_mutex_init(&thread->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&thread->work, &monotonic);
	pthread_condattr_destroy(&monotonic);
	for (int urgency = 0; urgency < JOB_URGENCIES; urgency++)
		STAILQ_INIT(&thread->waiting[urgency]);
	thread->mailbox = mailbox;
	if (host_socket && kern_rtnl_open(&thread->host, -1, NETLINK_ROUTE, err) < 0)
		goto fail;
	if (fabric_job_thread_start(thread, name, err) < 0)
		goto fail;
	return thread;

fail:
	fabric_job_thread_free(thread);
	return NULL;
}

static void fabric_job_deliver(struct mail *mail)
{
	struct job *job = container_of(mail, struct job, mail);

	job->finish(job);
	base_spares_fill();
}

static void fabric_job_cancel(struct job_thread *thread, struct job *job, const char *why)
{
	job->failed = true;
	err_set(&job->err, ECANCELED, "%s", why);
	base_mailbox_post(thread->mailbox, &job->mail);
}

void fabric_job_thread_post(struct job_thread *thread, struct job *job, enum job_urgency urgency)
{
	bool stopping;

	job->thread = thread;
	job->mail.deliver = fabric_job_deliver;
	pthread_mutex_lock(&thread->lock);
	stopping = thread->stopping;
	if (!stopping) {
		STAILQ_INSERT_TAIL(&thread->waiting[urgency], job, next);
		thread->counts[urgency]++;
		/* Of background jobs in a deferral only the first wakes it, so that it knows when to wake up. */
		if (!fabric_job_is_background(urgency) || thread->deferred_until_ms <= clock_now_ms() ||
		    thread->counts[JOB_REFILL] + thread->counts[JOB_REMOVAL] == 1)
			pthread_cond_signal(&thread->work);
	}
	pthread_mutex_unlock(&thread->lock);
	if (stopping)
		fabric_job_cancel(thread, job, stops);
}

/* Takes a job that waits out of its list. Returns whether it did wait. The caller holds the lock. */
static bool fabric_job_take_back(struct job_thread *thread, struct job *job, enum job_urgency urgency)
{
	struct job *waiting;

	STAILQ_FOREACH(waiting, &thread->waiting[urgency], next)
	{
		if (waiting == job)
			break;
	}
	if (!waiting)
		return false;
	STAILQ_REMOVE(&thread->waiting[urgency], job, job, next);
	thread->counts[urgency]--;
	return true;
}

void fabric_job_thread_urge(struct job_thread *thread, struct job *job, enum job_urgency from, enum job_urgency to)
{
	pthread_mutex_lock(&thread->lock);
	if (fabric_job_take_back(thread, job, from)) {
		STAILQ_INSERT_TAIL(&thread->waiting[to], job, next);
		thread->counts[to]++;
		pthread_cond_signal(&thread->work);
	}
	pthread_mutex_unlock(&thread->lock);
}

void fabric_job_thread_withdraw(struct job_thread *thread, struct job *job, enum job_urgency urgency)
{
	bool waited;

	pthread_mutex_lock(&thread->lock);
	waited = fabric_job_take_back(thread, job, urgency);
	pthread_mutex_unlock(&thread->lock);
	if (waited)
		fabric_job_cancel(thread, job, "no longer wanted");
}

void fabric_job_thread_defer(struct job_thread *thread, uint64_t until_ms)
{
	pthread_mutex_lock(&thread->lock);
	if (thread->deferred_until_ms < until_ms)
		thread->deferred_until_ms = until_ms;
	pthread_mutex_unlock(&thread->lock);
}

unsigned fabric_job_thread_waiting(struct job_thread *thread, enum job_urgency urgency)
{
	unsigned count;

	pthread_mutex_lock(&thread->lock);
	count = thread->counts[urgency];
	pthread_mutex_unlock(&thread->lock);
	return count;
}

void fabric_job_thread_stop(struct job_thread *thread)
{
	struct job *job;

	if (!thread)
		return;
	pthread_mutex_lock(&thread->lock);
	thread->stopping = true;
	pthread_cond_signal(&thread->work);
	pthread_mutex_unlock(&thread->lock);
	if (thread->running)
		base_thread_join(&thread->thread);
	thread->running = false;
	/* The thread has ended, so no lock is needed. */
	while ((job = fabric_job_next(thread, false)))
		fabric_job_cancel(thread, job, stops);
}

void fabric_job_thread_free(struct job_thread *thread)
{
	if (!thread)
		return;
	kern_rtnl_close(&thread->host);
	pthread_cond_destroy(&thread->work);
	pthread_mutex_destroy(&thread->lock);
	free(thread);
}

struct kern_rtnl *fabric_job_host(struct job *job)
{
	return &job->thread->host;
}

const struct err *fabric_job_failure(const struct job *job)
{
	return job->failed ? &job->err : NULL;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_DAEMON_TENANT_H
#define WEFT_DAEMON_TENANT_H

/*
 * The daemon's own record of each sandbox, beside the registry's: the route, the namespace's descriptor, the readiness probe,
 * and the requests that are owed an answer.
 */

#include "base/burst.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/vec.h"
#include "control/request.h"
#include "daemon/asleep.h"
#include "daemon/idle.h"
#include "daemon/listeners.h"
#include "daemon/pausing.h"
#include "daemon/rate_ring.h"
#include "fabric/fabric.h"
#include "forwarder/forwarder.h"
#include "registry/problem.h"
#include "registry/registry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct daemon;
struct err;

/* Taking over the slot of a former run: takeover.c. */
struct tenant_takeover {
	void (*done)(struct daemon *daemon); /* after the first attempt; NULL: it is over */
	bool begun;                          /* the first attempt is made, or under way */
	bool untaken;                        /* attempts failed, and one more follows */
	bool reported;                       /* that they did, and their end is due */
	bool carrier;                        /* as the scan of the kernel saw it */
	bool known;                          /* the sandbox has the state that this run found it in */
	unsigned pause, left;                /* seconds between the last two attempts, and to the next */
};

/* sandbox->tenant. */
struct tenant {
	struct daemon *daemon;
	struct sandbox *sandbox;
	struct fwd_route *route;
	struct fwd_probe *probe; /* NULL while readiness is not being asked for */
	int netns_fd;            /* the one descriptor that pins its namespace; -1 without */
	bool busy;               /* a change is under way: others are parked */
	uint64_t changes;        /* that ended; a PATCH counts, carried out or not */
	bool slot_freed;         /* the host saw its veth go while it was being taken apart */
	bool kept;               /* no file wants it, but a VM lives on it */
	bool layout_assumed;     /* its file does not say which names and addresses its slot has */
	bool opened;             /* its endpoints were opened, as far as that is possible */
	bool awaited;            /* connections of the former run wait for it to be taken over */
	bool stored;             /* a former run registered it: a stop before it is adopted must not undo it */
	bool
	    unsaved; /* its file lacks its state, the namespace that it has, or a change made at the start; no reply waits */
	bool written;            /* its file is as of the beginning of the stop */
	struct base_burst saves; /* limits the writes that its VMM can provoke */
	struct tenant_takeover takeover;
	struct tenant_pausing pausing;
	struct tenant_asleep asleep;
	struct tenant_idle idle;
	bool unregistered;                   /* its file says that it is to go, whatever becomes of the attempt */
	bool went_on;                        /* the same, but a former run was asked for it */
	struct control_request *registering; /* while its slot is being made, else NULL */
	uint64_t registering_since_us;       /* clock_now_us() */
	struct listeners_waiter settling;    /* while its last step waits for the ports */
	struct control_request_list leaving; /* owed their answers when it is gone */
	struct problem failure;              /* why its registration failed: that answer, once all is undone */
	struct counters base;                /* its counters when this run of the daemon took it over */
	struct counters lost;                /* the kernel's counts in tables that are gone */
	bool collected;                      /* its counters were read: what follows is of this run */
	uint64_t denied[FABRIC_RULES];       /* last read of its namespace */
	struct rate_ring rates;              /* its traffic of late */
	uint64_t rates_tick;                 /* of its last point */
	char published[SANDBOX_ID_MAX + 1];  /* the key of its entry in the catalogue; "": none */
	struct {
		struct {
			VEC_OF(uint32_t);
		} answered;      /* the guest's ports that have answered: daemon_loopback_key() */
		uint64_t gone;   /* connections by deleted entries: those that the stored total lacks */
		uint64_t former; /* connections by entries of a killed daemon, while these are counted */
	} entered;               /* loopback.c */
	struct {
		struct timer timer; /* the next look; not made: nobody asked for a drain */
		uint64_t until_ms;  /* clock_now_ms() */
		bool asking;        /* the kernel is being asked who is left */
	} drain;                    /* unregister.c: of clients past the forwarder, once the route is closed */
	char *last_diagnosis;       /* owned: the answer to the last one; NULL: none was made yet */
};

/* Makes the tenant of SANDBOX with its route. 0, or -1 with ERR. */
int daemon_tenant_new(struct daemon *daemon, struct sandbox *sandbox, struct err *err);

/* Frees it; the route must be gone (fwd_route_close()). Closes the namespace's descriptor. A request still owed is refused. */
void daemon_tenant_free(struct tenant *tenant);

static inline struct tenant *daemon_tenant_of(const struct sandbox *sandbox)
{
	return sandbox->tenant;
}

/* The namespace is there: hands its descriptor (taken over) and the carrier to the route. */
void daemon_tenant_attach_namespace(struct tenant *tenant, const struct fabric_slot *slot);

/* Starts, or stops, asking the guest whether it is ready, as its state demands. */
void daemon_tenant_follow_readiness(struct tenant *tenant);

/* Sets the state that follows from what is known, unless the sandbox is creating, draining or failed. */
void daemon_tenant_settle(struct tenant *tenant, const char *cause);

/* Its slot is not taken over any more: the sandbox is being unregistered. */
void daemon_tenant_forget_takeover(struct tenant *tenant);

/* Its failure is over, unless that is final: the state that carrier and probe say, with the cause "recovered". */
void daemon_tenant_recover(struct tenant *tenant);

/* The problem of a request that SANDBOX, which is draining or failed, cannot take: it says why. Returns -1. */
int daemon_tenant_refuse(const struct sandbox *sandbox, struct problem *problem);

/* 0, or -1 with PROBLEM: SANDBOX is one of the former run, whose slot could not be taken over so far. */
int daemon_tenant_refuse_untaken(const struct sandbox *sandbox, struct problem *problem);

/* 0, or -1 with PROBLEM: the policy of SPEC is too large for the kernel. */
int daemon_tenant_check_policy(const struct spec *spec, struct problem *problem);

/* The sandbox as the fabric is to make it. NULL only for lack of memory; free() frees it, and what it points to is the sandbox's. */
struct tenant_plan {
	struct fabric_plan plan;
	struct fabric_wake wake;
	struct fabric_nat nat[]; /* and the ports of WAKE behind them */
};
struct tenant_plan *daemon_tenant_plan_new(const struct sandbox *sandbox);

/* Its file lacks what has just changed: it is written at once, or, if many changes come in a row, by the guard or after a change. */
void daemon_tenant_save(struct tenant *tenant);

/* Brings the sandbox's counters and last activity up to date from the forwarder. */
void daemon_tenant_refresh(struct sandbox *sandbox);

/* Answers the requests that wait for its end with PROBLEM. */
void daemon_tenant_refuse_leaving(struct tenant *tenant, const struct problem *problem);

#endif

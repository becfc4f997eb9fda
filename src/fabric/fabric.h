/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FABRIC_FABRIC_H
#define WEFT_FABRIC_FABRIC_H

/*
 * The objects of sandboxes in the kernel, and how they come and go. The daemon asks on the main thread; two threads of the fabric
 * do the work and report back to it. The builder does all that takes the kernel's RTNL lock, and the claimer nft batches and other
 * work without it. Kernel events are hints: the object is looked at again before anything is reported.
 *
 * Functions are for the main thread, unless they say otherwise. Completions come on the main thread, always after the call that
 * asked has returned. Without memory a call is refused by its completion, with ENOMEM, and nothing was begun.
 */

#include "base/addr.h"
#include "registry/failure.h"
#include "registry/spec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct config_layout;
struct config_mistakes;
struct err;
struct event_base;
struct fabric;

/* One denied flow of a guest, as recorded by its namespace's rules. */
struct fabric_denial {
	char rule[32];        /* a word of rules_slot_reach(), or "connections": too many at once */
	char proto[8];        /* as addr_ip_proto_format() writes it */
	uint32_t destination; /* host order */
	uint16_t port;        /* 0 where the protocol has none */
};

/* Somebody else's route, or policy rule, that decides instead of a route of ours. */
struct fabric_rival {
	char what[48];     /* our route: "route of the host address", ... */
	uint32_t gateway;  /* 0: none; host order */
	char device[16];   /* "": none */
	char protocol[16]; /* as `ip route` has it; "": it is no route */
	uint32_t table;    /* that it stands in; 0: it is no route */
	uint32_t rule;     /* the preference of the policy rule that leads there; 0: none beside those of every host */
};

/* A repair, or one that did not come off. The pointers are valid during the call. */
struct fabric_repair {
	unsigned slot;    /* 0: the host's */
	const char *what; /* the parts, such as "veth, route of the host address" */
	bool ok;          /* WHAT is as it should be */
	bool
	    changed; /* it was put back just now. Else, if OK: it could not be looked at or put back, was reported, and now is well */
	const char *error;             /* !OK: why, or NULL where BY says it */
	const struct fabric_rival *by; /* !OK: the other route that is in the way; NULL: none */
};

/* The fabric's reports to the daemon, on the main thread. CONTEXT is handed to each. */
struct fabric_watcher {
	/*
	 * The TAP of SLOT won or lost its carrier (IFLA_CARRIER). Only on a change. DOWNS: how often it was lost so far
	 * (IFLA_CARRIER_DOWN_COUNT); -1: not known.
	 */
	void (*carrier)(void *context, unsigned slot, bool up, int64_t downs);
	/* FAILURE of SLOT is proved; WHY says it for people. Its traffic is left alone, and it is looked at again. */
	void (*failed)(void *context, unsigned slot, enum failure failure, const char *why);
	/* A later look found the cause of SLOT's failure gone. */
	void (*recovered)(void *context, unsigned slot);
	/*
	 * A part was put back, such as a flushed table or a lost route; or it could not be, whatever the reason. Such a trouble is
	 * reported when it begins and when it is over, and says nothing about the state of the slot.
	 */
	void (*repair)(void *context, const struct fabric_repair *repair);
	/*
	 * Others changed a fact of the host: CHECK is "uplink" or "ip_forward". OK: it is as it should be, or new sandboxes follow it.
	 * DETAIL says it for people.
	 */
	void (*host)(void *context, const char *check, bool ok, const char *detail);
	/* A slot that was ready for any sandbox is given up: its number may not be used until `slot_free`. */
	void (*slot_going)(void *context, unsigned slot);
	/* The host saw the last object of SLOT go: its number may be used again. */
	void (*slot_free)(void *context, unsigned slot);
	/* An object without our mark has SLOT's name, so the slot must be skipped. WHY names the object. */
	void (*slot_foreign)(void *context, unsigned slot, const char *why);
	/* Policy denied a flow, says the namespace's record of denials. */
	void (*denied)(void *context, unsigned slot, const struct fabric_denial *denial);
	/* The numbers of fabric_pool_state() have changed. */
	void (*pool_changed)(void *context);
	void *context;
};

/* A host-published port (via nat). */
struct fabric_nat {
	struct addr listen; /* IPv4 */
	enum proto proto;
	uint16_t guest_port;
};

/* What wakes a sandbox that is asleep: the first packet of a flow to one of these. */
struct fabric_wake {
	bool any;                      /* to any port of TCP or UDP; PORTS do not matter then */
	const struct wake_port *ports; /* of the guest */
	size_t count;
};

/* A slot as it is to be. The pointers are read during the call alone; the fabric copies. */
struct fabric_plan {
	unsigned slot;
	const struct config_layout *layout; /* its names and addresses; NULL: those of new slots */
	unsigned mtu;                       /* of its links, as the guest was told; 0: that of new slots */
	const char *id;                     /* for aliases, comments and error texts */
	uint64_t netns_device,
	    netns_inode; /* for fabric_adopt(): fabric_slot's, as the caller stored them; inode 0: not known */
	bool has_tap_owner;
	uid_t tap_uid;
	gid_t tap_gid;
	const struct egress *egress;
	const struct bandwidth *bandwidth;
	const struct fabric_nat *nat;
	size_t nat_count;
	bool paused;                    /* as fabric_pause() makes it */
	bool strict;                    /* as fabric_resume() makes it when it keeps no flows; a paused one is not */
	uint32_t sleep;                 /* the fabric's own: tells one pause from others; 0: not known */
	const struct fabric_wake *wake; /* while PAUSED; NULL: no packet wakes it */
};

/* A slot as it came to be. */
struct fabric_slot {
	unsigned slot;
	/*
	 * The caller owns it: the one descriptor of ours that pins the namespace. Until it calls fabric_destroy() the fabric may
	 * duplicate it for a job, which closes its own.
	 */
	int netns_fd;
	uint64_t netns_device, netns_inode; /* prove the namespace ours when its veth is gone */
	bool carrier;
	int64_t carrier_downs; /* as the watcher's; -1: not known */
	unsigned mtu;
	enum failure failure; /* of an adopted one, reported already: its namespace serves its VM all the same */
};

/* SLOT is NULL and ERR says which step failed, after everything was undone; or ERR is NULL. */
typedef void fabric_slot_done(void *context, const struct fabric_slot *slot, const struct err *err);
/* ERR is NULL for success. */
typedef void fabric_done(void *context, const struct err *err);

/*
 * Prepares the host (ip_forward, host table, unreachable routes), starts the threads and the monitors. NULL with ERR.
 * The watcher is copied. Nothing of existing slots is touched.
 */
struct fabric *fabric_new(struct event_base *base, const struct config *config, const struct fabric_watcher *watcher,
			  struct err *err);

/*
 * The end is near: the directory of namespaces is not watched any more. The kernel takes 10 to 20 ms to end that (inotify, RCU), which
 * are better spent before connections stand still.
 */
void fabric_forget_names(struct fabric *fabric);

/*
 * Stops the threads after the jobs they are at. Kernel state stays. All completions come before this returns, with the outcome of
 * the jobs at hand, and with ECANCELED for the others. NULL is fine.
 */
void fabric_free(struct fabric *fabric);

/* One slot that a former run left, as the kernel has it. */
struct fabric_found {
	unsigned slot;
	const struct config_layout *layout; /* by which it was found */
	bool has_netns, has_veth, has_tap;  /* of ours */
	bool carrier;
	char alias[SANDBOX_ID_MAX + 1]; /* id from the veth's alias; "" if it has none */
};
typedef void fabric_scan_done(void *context, const struct fabric_found *found, size_t count, const struct err *err);

/*
 * Dumps the kernel and reports all slots that carry our mark. At the start, before all other calls. What cannot be read is read
 * again after a while, so that DONE comes with the kernel's state, or with ECANCELED when the fabric is freed before. The slots in
 * FOUND stay valid until fabric_open().
 */
void fabric_scan(struct fabric *fabric, fabric_scan_done *done, void *context);

/* All slots of a former run that are wanted were asked for: the pool may prepare slots on the other numbers from now on. */
void fabric_open(struct fabric *fabric);

/*
 * Makes the objects of a new slot, all or none; or claims a ready one of the pool, if PLAN's slot is one. The alias and comments
 * follow after DONE.
 */
void fabric_make(struct fabric *fabric, const struct fabric_plan *plan, fabric_slot_done *done, void *context);

/*
 * Takes over an existing slot. Objects that match stay untouched, others are repaired, and live traffic flows on. A slot whose failure
 * is proved is taken over as it is, if its namespace can still be opened.
 */
void fabric_adopt(struct fabric *fabric, const struct fabric_plan *plan, fabric_slot_done *done, void *context);

/*
 * Watches a slot that the scan found and no sandbox wants, but on which a VM lives. It is not touched. DONE gets its namespace.
 */
void fabric_keep(struct fabric *fabric, unsigned slot, const struct config_layout *layout, fabric_slot_done *done,
		 void *context);

/* SHUN: the pool does not prepare this slot, because the caller has other plans for its number. */
void fabric_shun(struct fabric *fabric, unsigned slot, bool shun);

/*
 * Takes the slot apart: unmounts and unlinks the namespace, after which kernel objects go with it, or puts it into the pool's
 * quarantine. Our own descriptors in it must be closed before. DONE comes when its host address answers no more and, without a
 * pool, its veth is gone. After 1 s links are deleted under a process that still holds them. The slot's number is free only when
 * the watcher's `slot_free` says so. LAYOUT is asked only where the fabric has not met the slot yet; NULL: that of new slots.
 */
void fabric_destroy(struct fabric *fabric, unsigned slot, const struct config_layout *layout, fabric_done *done,
		    void *context);

/*
 * Replaces the slot's policy, limits, host-published ports and what wakes it, or none of them; cuts the live flows the new policy forbids.
 * PLAN's `paused` and `strict` are the slot's present ones.
 */
void fabric_update(struct fabric *fabric, const struct fabric_plan *plan, fabric_done *done, void *context);

/*
 * The sandbox was paused; PLAN is the slot's present one otherwise, and its `paused` and `strict` are ignored. Until the resume the slot's
 * namespace answers the TCP flows that are there now with ICMP host unreachable, so that their senders keep trying and do not back off. A
 * packet that begins a flow passes to the TAP as always; if PLAN's `wake` has its port, the host also reports it to netlink group
 * KERN_WAKE_GROUP (kernel/packet_log.h). The slot is to be so from the call on: if DONE reports a failure, the patrol puts right what differs.
 */
void fabric_pause(struct fabric *fabric, const struct fabric_plan *plan, fabric_done *done, void *context);

/*
 * The sandbox was resumed: ends what fabric_pause() did; PLAN's `paused` and `strict` are ignored. KEEP: its flows go on. Else those
 * that it had when it was paused are forgotten, connected sockets of the host's own clients are ended, and the slot is strict until it is paused again: a TCP segment from the
 * middle of an unknown flow is answered with a reset, from whichever side it comes. If DONE reports a failure, the patrol puts right what
 * differs. It cannot find flows that were not forgotten, so the caller has to call this again.
 */
void fabric_resume(struct fabric *fabric, const struct fabric_plan *plan, bool keep, fabric_done *done, void *context);

/* Ends every tracked flow of the slot (resume with reset). */
void fabric_flush_flows(struct fabric *fabric, unsigned slot, fabric_done *done, void *context);

/*
 * Ends the TCP connections of this host's own processes to HOST_IP (host order), as nobody else would. Many calls at once cost the claimer
 * little more than one. After a shortage it is tried again, as long as the fabric lives. ORIGINS: kern_loopback_origins(), which is
 * duplicated: clients that are led there after the call are spared, and those that are being led during the call are ended. -1: these
 * cannot be told apart.
 */
void fabric_end_clients(struct fabric *fabric, uint32_t host_ip, int origins);

/* The same for sockets of UDP that are connected to HOST_IP, or to GUEST_PORT of it if that is not 0. */
void fabric_end_datagrams(struct fabric *fabric, uint32_t host_ip, uint16_t guest_port);

/*
 * The same for TCP clients that had asked for the loopback address ASKED and were led to GUEST_PORT of HOST_IP. UNTOLD: also for clients of
 * that port of which it is not known what they had asked for. With ORIGINS -1 that is known of none.
 */
void fabric_end_clients_of(struct fabric *fabric, uint32_t host_ip, uint16_t guest_port, const struct addr *asked,
			   int origins, bool untold);

/* A connection of a process of this host to a guest, past the forwarder. */
struct fabric_client {
	struct addr asked;  /* what it asked for: a loopback address; or the host address */
	struct addr client; /* itself, as the guest's namespace sees it */
	struct addr to;     /* the host address */
	bool connecting, closing;
	uint64_t bytes_to_guest, bytes_from_guest; /* as far as the kernel tells */
	uint64_t age_ms;                           /* 0: unknown */
};
typedef void fabric_clients_done(void *context, const struct fabric_client *clients, size_t count,
				 const struct err *err);

/* Lists those to HOST_IP, at most LIMIT. ORIGINS as above, or -1. False: there is no memory, and DONE is not called. */
bool fabric_list_clients(struct fabric *fabric, uint32_t host_ip, int origins, size_t limit, fabric_clients_done *done,
			 void *context);

/* Looks at TAP and veth of the slot again and reports changes to the watcher. For after a resume, and tests. */
void fabric_recheck(struct fabric *fabric, unsigned slot);

/* The rules that stop packets of guests, and packets to them. */
enum fabric_rule {
	/* Policy, answered: as the rules of denials and of fabric_reach(). */
	FABRIC_RULE_PRIVATE,
	FABRIC_RULE_SANDBOX,
	FABRIC_RULE_DENY,
	FABRIC_RULE_INTERNET,
	FABRIC_RULE_ISOLATED,
	FABRIC_RULE_GATEWAY,
	FABRIC_RULE_CONNECTIONS,
	FABRIC_RULE_HOST,    /* the host's own addresses */
	FABRIC_RULE_INGRESS, /* connections to a sandbox that the host did not open */
	FABRIC_RULE_LOCAL,   /* connections to a sandbox of users of the host who may not open any */
	/* Forged packets and those of no use, dropped. */
	FABRIC_RULE_MAC,
	FABRIC_RULE_ARP,
	FABRIC_RULE_IPV6,
	FABRIC_RULE_PROTOCOL,  /* any other than IPv4; above IPv4, one that policy denies */
	FABRIC_RULE_SOURCE,    /* not the sender's address */
	FABRIC_RULE_MULTICAST, /* and broadcast, and frames that are not for the gateway's MAC */
	FABRIC_RULE_MARTIAN,   /* a destination that no wire leads to */
	FABRIC_RULE_MALFORMED, /* and IPv4 with options */
	FABRIC_RULE_RATE,      /* over the bandwidth */
	FABRIC_RULE_FORWARD,   /* belongs to no flow that was let through */
	FABRIC_RULE_FAMILY,    /* not IPv4, seen on the host */
	FABRIC_RULE_ERROR,     /* an ICMP error about a flow of others */
	/* What every guest with IPv6 sends in vain, again and again: dropped, but no drop to report. */
	FABRIC_RULE_SOLICITATION,
	FABRIC_RULES,
};

const char *rules_name(enum fabric_rule rule);

/* The kernel's counters of a slot since it was made. */
struct fabric_counts {
	unsigned slot;
	uint64_t bytes_to_guest, bytes_from_guest;
	uint64_t packets_to_guest, packets_from_guest;
	uint64_t drops;                /* in its namespace */
	uint64_t host_drops;           /* by the host's table */
	uint64_t denied[FABRIC_RULES]; /* of those in its namespace */
	uint64_t connections;
};
typedef void fabric_counts_done(void *context, const struct fabric_counts *counts, size_t count, const struct err *err);

/* Reads the counters of all live slots (SLOT 0) or one. */
void fabric_collect(struct fabric *fabric, unsigned slot, fabric_counts_done *done, void *context);

/* Reads those of one at once, through NETNS_FD, a descriptor of its namespace. 0, or -1 with ERR. */
int fabric_read_counts(const struct fabric *fabric, unsigned slot, int netns_fd, struct fabric_counts *counts,
		       struct err *err);

/* Bytes that passed the host's end of a slot's veth since it was made, with their Ethernet headers: the kernel path. */
struct fabric_traffic {
	unsigned slot;
	uint64_t to_guest, from_guest;
};
typedef void fabric_traffic_done(void *context, const struct fabric_traffic *traffic, size_t count,
				 const struct err *err);

/*
 * Reads those of all slots, in no order; one for which there was no memory is missing. False: a reading is under way already, and
 * none was begun.
 */
bool fabric_read_traffic(struct fabric *fabric, fabric_traffic_done *done, void *context);

/* Packets of the kernel path, both ways, that show a sandbox in use. */
struct fabric_activity {
	unsigned slot;
	/* TCP with payload, and UDP other than DNS and NTP that the guest itself asks for. It grows as long as the fabric knows the slot. */
	uint64_t packets;
};
typedef void fabric_activity_done(void *context, const struct fabric_activity *activity, size_t count,
				  const struct err *err);

/*
 * Reads those of all live slots, in no order; one that could not be read is missing. False: a reading is under way already, and none
 * was begun.
 */
bool fabric_read_activity(struct fabric *fabric, fabric_activity_done *done, void *context);

/* Packets that the host's table stopped since it was made, by rule. 0, or -1 with ERR. */
int fabric_read_host_counts(uint64_t denied[static FABRIC_RULES], struct err *err);

/* Whether policy lets a packet of the guest through, from the kernel's own sets. */
struct fabric_reach {
	bool allowed;
	char rule[32]; /* which rule decides: "private", "deny", "allow", "internet", ... */
	char set[320]; /* the set and element that matched, the entry of a service or proxy, "" if none */
};
typedef void fabric_reach_done(void *context, const struct fabric_reach *reach, const struct err *err);
void fabric_reach(struct fabric *fabric, unsigned slot, uint32_t destination, uint8_t ip_proto, uint16_t port,
		  fabric_reach_done *done, void *context);

/* Whether the kernel takes a policy in short time. 0, or -1 with ERR: code 0 if it does not, or ENOMEM. Any thread. */
int fabric_check_egress(const struct egress *egress, struct err *err);

/* The same at once, for the namespace of NETNS_FD. 0, or -1 with ERR. Any thread. */
int fabric_reach_now(const struct config *config, const struct config_layout *layout, int netns_fd,
		     uint32_t destination, uint8_t ip_proto, uint16_t port, struct fabric_reach *reach,
		     struct err *err);

struct fabric_pool {
	unsigned ready, target, quarantined, deleting;
	uint64_t cold_total;     /* registrations that found no ready slot */
	uint64_t deferred_total; /* teardowns that were deferred while claims waited */
};
void fabric_pool_state(const struct fabric *fabric, struct fabric_pool *pool);

/* How many of the reported repairs that did not come off (`ok` is false) are not over yet. */
size_t fabric_troubles(const struct fabric *fabric);

/* Options were reloaded: the pool follows its size. Ready slots beyond that are claimed before others are made. */
void fabric_reconfigure(struct fabric *fabric);

/* A ready slot that fabric_make() would claim now; 0: none. For registry_prefer_slot(). */
unsigned fabric_pool_slot(const struct fabric *fabric);

/*
 * Removes everything that carries our mark: slots, routes, host table. Calls REMOVED for each object. 0 if nothing is left, or -1
 * with ERR. Needs no threads and no loop; for `weftd --cleanup`.
 */
int fabric_cleanup(const struct config *config, void (*removed)(void *context, const char *what), void *context,
		   struct err *err);

/*
 * Adds to the layouts of CONFIG those by which veths of ours were made that none of them knows: a veth is ours if its alias has the id
 * of a sandbox and the namespace behind it has our table. 0, or -1 with ERR. Needs no threads and no loop.
 */
int fabric_find_layouts(const struct config *config, struct err *err);

/* Whether a slot that the fabric knows has LAYOUT. */
bool fabric_has_layout(const struct fabric *fabric, const struct config_layout *layout);

/*
 * No slot has LAYOUT any more, a former one: drops it, with what is there on the host for its slots alone. DONE with an error: some of
 * that is left.
 */
void fabric_drop_layout(struct fabric *fabric, const struct config_layout *layout, fabric_done *done, void *context);

/* Calls LIVE for each slot with our mark that a VM runs on: its TAP has carrier. 0 or -1 with ERR. Needs no threads and no loop. */
int fabric_list_live(const struct config *config, void (*live)(void *context, const struct fabric_found *found),
		     void *context, struct err *err);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_REGISTRY_REGISTRY_H
#define WEFT_REGISTRY_REGISTRY_H

/*
 * The wanted state: sandboxes, their slots, ports and states. Pure bookkeeping, without kernel objects or files; the caller
 * changes those, and undoes the change here if that fails. Main thread only.
 */

#include "base/log.h"
#include "base/queue.h"
#include "registry/failure.h"
#include "registry/spec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct problem;
struct registry;

enum sandbox_state {
	SANDBOX_CREATING, /* its objects are being made; then waiting, or gone */
	SANDBOX_WAITING,  /* TAP without carrier: no VM yet; then attached */
	SANDBOX_ATTACHED, /* carrier, and its ready_port does not answer yet; then ready or detached */
	SANDBOX_READY,    /* the guest accepts connections; then detached or paused */
	SANDBOX_DETACHED, /* carrier was there and is lost; then attached */
	SANDBOX_PAUSED,   /* the manager paused it; then as the carrier is */
	SANDBOX_DRAINING, /* no new connections; then gone */
	SANDBOX_FAILED,   /* its failure is proved; then as carrier and guest are, if that is found gone, or draining */
};

enum { SANDBOX_STATES = SANDBOX_FAILED + 1 };

/* "creating", ... */
const char *registry_sandbox_state_name(enum sandbox_state state);
/* 0 and *STATE, or -1 for a word that is no state. */
int registry_sandbox_state_parse(const char *name, enum sandbox_state *state);

/* Why an endpoint has no entry in the kernel's table of loopback endpoints: registry/endpoint_path.h. */
enum path_reason {
	PATH_WAITING,        /* its sandbox is not ready */
	PATH_ENTERED,        /* it is to have one */
	PATH_OFF,            /* [forwarder] loopback = forwarder */
	PATH_NOT_THERE,      /* this host has no such table */
	PATH_NOT_LOOPBACK,   /* none of its addresses is a loopback address that the table takes */
	PATH_PROXY_PROTOCOL, /* each connection begins with a header */
	PATH_LIMITS,         /* its connections are limited in number or time */
	PATH_LOCAL_USERS,    /* not everybody may connect to the sandbox's host address */
	PATH_NOT_READY_PORT, /* loopback = auto, and it does not lead to the ready_port */
	PATH_STOPPING,
	PATH_DRAINING,
	PATH_FAILED,
	PATH_PAUSED,
	PATH_CLOSED,           /* weft does not listen there */
	PATH_NOT_ANSWERED_YET, /* its guest port has not answered since the VM came */
	PATH_TROUBLE,          /* the kernel refused the entry; tried again */
};

/* A published port, as asked for and with the addresses that it got. */
struct endpoint {
	struct spec_port port;
	struct addr listen[SPEC_LISTEN_MAX];
	size_t listen_count;
	void *handles
	    [SPEC_LISTEN_MAX]; /* of its listeners, one for each address, set by their opener; NULL while closed */
	bool absent[SPEC_LISTEN_MAX]; /* the host has no ::1, and the others serve alone; set by the opener */
	bool entered
	    [SPEC_LISTEN_MAX]; /* it is in the kernel's table: clients need no forwarder. Set by daemon/loopback.c */
	uint64_t hits[SPEC_LISTEN_MAX]; /* by the same: connections through it, as last read */
	enum path_reason path_reason;   /* by the same: why not */
};

/* Whether clients reach ENDPOINT by all its addresses that the host has. One of nat has no listener and is open. */
bool registry_endpoint_is_open(const struct endpoint *endpoint);

struct counters {
	uint64_t bytes_to_guest, bytes_from_guest;
	uint64_t packets_to_guest, packets_from_guest;
	uint64_t connections_total;
	uint64_t connections_open;
	uint64_t connections_held; /* of the open ones, still waiting for the guest */
	uint64_t drops_total;
	/* Of the total: counted in the kernel's table, where they outlive a daemon that is killed. Not shown. */
	uint64_t connections_entered;
};

/* A text that means one sandbox, and no other: for the registry alone. */
struct sandbox_key {
	LIST_ENTRY(sandbox_key) next;
	struct sandbox *sandbox; /* NULL: holds no text */
	const char *text;
};

/* The text that says who wanted a sandbox, with its end. */
enum { SANDBOX_WAKE_BY_SIZE = 64, SANDBOX_WAKE_VIA_SIZE = 16 };

/* A UUID as text, with its end. */
enum { SANDBOX_EXECUTION_SIZE = 37 };

struct sandbox {
	char id[SANDBOX_ID_MAX + 1];            /* its name is spec->name */
	char execution[SANDBOX_EXECUTION_SIZE]; /* no other registration's, on any host */
	unsigned slot;
	const struct config_layout *layout; /* of its slot: the names and addresses that it has for life */
	enum sandbox_state state;           /* changed by registry_sandbox_set_state() alone */
	int64_t since_ms;                   /* wall clock, of the last change of state */
	char reason[256];                   /* why it failed; "" otherwise */
	enum failure failure;               /* FAILURE_NONE unless it is failed */
	bool carrier;                       /* of its TAP, as last reported */
	bool guest_answers;                 /* its ready_port accepted a connection since it was attached */
	bool paused;                        /* the manager asked for it */
	bool was_attached;                  /* carrier was there at least once */
	bool strict;                        /* its flows were reset at the last resume, see fabric_resume() */
	int64_t carrier_downs;    /* how often it was lost since the TAP was made, as last reported; -1: not known */
	int64_t registered_ms;    /* wall clock */
	int64_t last_activity_ms; /* wall clock; 0: none yet */
	int64_t wake_asked_ms;    /* wall clock: its manager was asked to resume it; 0: not since it was paused */
	char wake_by[SANDBOX_WAKE_BY_SIZE];   /* who wanted it first: "8080/tcp from 192.0.2.7", "api"; "" with 0 */
	char wake_via[SANDBOX_WAKE_VIA_SIZE]; /* the way on which that came: kernel, front-door */
	unsigned mtu;                         /* of its TAP */
	uint64_t netns_device, netns_inode;   /* which namespace is its own, stat(2); inode 0: not known */
	struct spec *spec;                    /* owned; as the manager asked for it, PATCHes included */
	struct endpoint *endpoints;           /* owned; one for each of spec->ports, in their order */
	size_t endpoint_count;
	uint64_t
	    default_turn; /* grows with each take of the default from another: the higher counts where files disagree */
	char *others;     /* owned: members of its state file that are a later weftd's, as JSON; NULL: none */
	struct counters counters; /* as last collected */
	void *tenant;             /* belongs to the daemon (routes, descriptors, jobs); NULL in tests */
	struct sandbox_key id_key, name_key, wanted_key; /* the last: the name that a prepared change will give it */
};

/* The limit of the lines that a VMM can provoke by opening and closing its TAP without end. */
extern const struct log_limit registry_sandbox_lines;

/* The fields `sandbox` and `name` of a log line. */
#define F_SANDBOX(sandbox) F_STR("sandbox", (sandbox)->id), F_STR("name", registry_sandbox_name(sandbox))

/* Its name; NULL: it has none. */
static inline const char *registry_sandbox_name(const struct sandbox *sandbox)
{
	return sandbox->spec->name[0] ? sandbox->spec->name : NULL;
}

/*
 * Its name, or without one its id, where that can stand in a host name PORT-LABEL.DOMAIN: lower-case letters and digits, for names in
 * DNS have no case and '-' and '.' end a part, and no more than fit behind the longest port. NULL: it cannot.
 */
const char *registry_sandbox_host_label(const struct sandbox *sandbox);

/*
 * Writes the guest's ports that wake SANDBOX, none twice, into OUT, which has ROOM: those listed, or those published now. Returns their
 * number, which may be above ROOM. 0 if none does, and also if every port does (WAKE_ANY).
 */
size_t registry_wake_ports(const struct sandbox *sandbox, struct wake_port *out, size_t room);

/* What wakes SANDBOX for people: "8080/tcp, 5353/udp", "any port", "no port", cut to SIZE with the number of the others. */
char *registry_wake_format(const struct sandbox *sandbox, char *text, size_t size);

/* Whether a packet for the guest's PORT wakes SANDBOX while it is paused. */
bool registry_wakes_at(const struct sandbox *sandbox, enum proto proto, uint16_t port);

/* Whether SANDBOX can be woken now. 0, or -1 with PROBLEM: CONFLICT, it is not paused, or has no `wake`. */
int registry_wake_check(const struct sandbox *sandbox, struct problem *problem);

/* The manager was asked at NOW_MS of the wall clock to resume SANDBOX, because of BY. Only the first call in a pause is noted. */
void registry_wake_note(struct sandbox *sandbox, int64_t now_ms, const char *by, const char *via);

/* A pause of SANDBOX begins, or is over: its manager has not been asked. */
void registry_wake_forget(struct sandbox *sandbox);

/* How long it has had no traffic at NOW_MS of the wall clock: since its last, or since it was registered. */
int64_t registry_sandbox_idle_ms(const struct sandbox *sandbox, int64_t now_ms);

/* Whether SANDBOX is paused and something wakes it; and whether, besides, its manager was asked to resume it. */
bool registry_sandbox_is_asleep(const struct sandbox *sandbox);
bool registry_sandbox_is_asked(const struct sandbox *sandbox);

/*
 * registry_sandbox_set_state() notifies it of every change of state. Main thread. CAUSE: one word for programs ("carrier",
 * "probe", ...).
 */
struct registry_watcher {
	void (*state_changed)(void *context, struct sandbox *sandbox, enum sandbox_state from, const char *cause,
			      uint64_t previous_ms);
	void *context;
};

/* Keeps CONFIG, which must outlive it. NULL only for lack of memory. */
struct registry *registry_new(const struct config *config);
/* Frees the sandboxes too; their tenants and handles must be gone. */
void registry_free(struct registry *registry);
/*
 * Sets whether this host has ::1, which is assumed at first. Without it, new endpoints that have another address (automatic
 * ports, "localhost:PORT") do without ::1.
 */
void registry_set_ipv6_loopback(struct registry *registry, bool present);
void registry_watch(struct registry *registry, const struct registry_watcher *watcher);

/*
 * Adds a sandbox in state CREATING with the lowest free slot and all its ports reserved. Takes SPEC over only when it
 * succeeds. NULL with PROBLEM: CONFLICT (id, name, a port or the default is another's: the detail names the holder; field set),
 * UNAVAILABLE (no slot, or no automatic port left). The id must be valid and no sandbox's id: see registry_find().
 */
struct sandbox *registry_add(struct registry *registry, const char *id, struct spec *spec, struct problem *problem);

/*
 * The same for a sandbox that exists already (restart), with the slot, its layout (NULL: that of new slots) and the endpoint
 * addresses of its file. PROBLEM: CONFLICT if the slot, the id, the name or an address is taken.
 */
struct sandbox *registry_adopt(struct registry *registry, const char *id, unsigned slot,
			       const struct config_layout *layout, struct spec *spec, const struct endpoint *endpoints,
			       size_t endpoint_count, struct problem *problem);

/* Removes the sandbox and frees it. Its ports are free at once, and so is its slot unless it was blocked meanwhile. */
void registry_remove(struct registry *registry, struct sandbox *sandbox);

struct sandbox *registry_find(struct registry *registry, const char *id); /* by its id alone; NULL: unknown */
/* The sandbox that TEXT means: its id, else its name. At most one has TEXT as either. NULL: none. */
struct sandbox *registry_lookup(struct registry *registry, const char *text);
/* Takes its name from SANDBOX, of which no change is prepared. */
void registry_drop_name(struct registry *registry, struct sandbox *sandbox);
struct sandbox *registry_at(struct registry *registry, unsigned slot); /* NULL: free or blocked */
struct sandbox *registry_next(struct registry *registry,
			      unsigned slot); /* the first with a slot above SLOT, by slot; NULL: no more */
size_t registry_count(const struct registry *registry);
size_t registry_count_state(const struct registry *registry, enum sandbox_state state);

/* The sandbox that the default endpoint leads to now: the one registered as the default, else the only one. NULL: none. */
struct sandbox *registry_default(struct registry *registry);

/* The sandbox that has the explicit default; NULL: none. */
struct sandbox *registry_default_explicit(struct registry *registry);

/* The same, or the one that is about to get it. */
struct sandbox *registry_default_holder(struct registry *registry);

/* As its file says, after registry_adopt(): later takers get a higher turn. */
void registry_set_default_turn(struct registry *registry, struct sandbox *sandbox, uint64_t turn);

/*
 * Keeps a slot from being handed out: its former objects are not gone yet, or its name belongs to another program. WHY appears
 * in the message that no slot is free ("veth-7 is not ours"). Blocking twice is harmless.
 */
void registry_block_slot(struct registry *registry, unsigned slot, const char *why);
void registry_unblock_slot(struct registry *registry, unsigned slot);

/* Prefer SLOT for the next registry_add() (a ready one of the pool) if it is free. 0: none. */
void registry_prefer_slot(struct registry *registry, unsigned slot);

/*
 * Changes a sandbox by PATCH, all or nothing. With TAKES_DEFAULT the default may be another's: it leaves that one when this is
 * committed. registry_patch_prepare() makes the new endpoints beside the old ones. WANTED is
 * the whole new specification, in which new ports follow the kept ones; on success PATCH owns it. The caller opens the new
 * endpoints, then commits or aborts. While a change is prepared the sandbox must neither be removed nor changed otherwise.
 */
struct registry_patch {
	struct sandbox *sandbox;
	struct spec *spec;
	struct endpoint *endpoints; /* the new list; kept ones carry their handles over */
	size_t endpoint_count;
	uint64_t default_turn; /* of the sandbox, from the commit on */
};
int registry_patch_prepare(struct registry *registry, struct sandbox *sandbox, struct spec *wanted, bool takes_default,
			   struct registry_patch *patch, struct problem *problem);
/* The caller closes the handles of endpoints that are gone, and must find them before. */
void registry_patch_commit(struct registry *registry, struct registry_patch *patch);
/* Frees the specification, unless its caller took it back by setting PATCH's to NULL. */
void registry_patch_abort(struct registry *registry, struct registry_patch *patch);

/* Another program has PORT: it is not given out for the next minute. */
void registry_avoid_port(struct registry *registry, uint16_t port);

/*
 * The one way to change a state. Logs old -> new and notifies the watcher. REASON: for FAILED, else NULL. With the cause of a
 * registration it logs nothing: the caller does.
 */
#define SANDBOX_CAUSE_REGISTERED "registered"
void registry_sandbox_set_state(struct registry *registry, struct sandbox *sandbox, enum sandbox_state state,
				const char *cause, const char *reason);

/* To FAILED, for FAILURE; REASON says it for people. A final failure is not replaced by another one but that of a teardown. */
void registry_sandbox_fail(struct registry *registry, struct sandbox *sandbox, enum failure failure, const char *cause,
			   const char *reason);

/*
 * Gives SANDBOX the state that a former run left it in, since SINCE_MS of the wall clock. That is no change, and neither logged nor
 * notified. REASON counts for a failed one alone.
 */
void registry_sandbox_restore_state(struct registry *registry, struct sandbox *sandbox, enum sandbox_state state,
				    int64_t since_ms, const char *reason);

/*
 * The state that follows from paused, carrier, guest_answers and ready_port, for a sandbox that is neither creating, draining
 * nor failed.
 */
enum sandbox_state registry_sandbox_settled_state(const struct sandbox *sandbox);

#endif

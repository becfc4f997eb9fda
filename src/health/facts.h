/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HEALTH_FACTS_H
#define WEFT_HEALTH_FACTS_H

/*
 * The facts that the checks examine. They reach the host through this alone, so that tests can present any host.
 */

#include "base/vec.h"
#include "health/front_door.h"
#include "inspect/inspect.h"
#include "inspect/ruleset.h"
#include "inspect/trial.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct config;

/* Names, group and ranges of slots. */
struct health_layout {
	char netns_dir[164], netns_prefix[44], veth_prefix[16];
	uint32_t link_group;
	struct cidr4 host_cidr, veth_cidr;
};

/* A name in a folder of namespaces. */
struct health_netns {
	const char *dir; /* the layout's */
	char *name;
};

/* The state directory, and the file system that it is on. */
struct health_directory {
	char path[512]; /* as people know it */
	int error;      /* errno of looking at it; 0: the rest is valid */
	mode_t mode;
	uid_t owner;
	bool read_only;
	uint64_t bytes, free_bytes;
	uint64_t files, free_files; /* inodes; FILES is 0 where there is no limit */
	int trial;                  /* errno of writing a file without a name there; 0: it came off; -1: not tried */
};

/* A running orchestrator of E2B's, which takes all slots of the host for its own when it starts. */
struct health_orchestrator {
	int pid;
	bool visible;  /* its environment can be read */
	bool disabled; /* its environment says that it takes none */
};

/* A TCP socket, of /proc/net/tcp and tcp6. */
struct health_socket {
	struct addr local;
	bool listening;
	unsigned uid; /* of its owner */
	uint64_t inode;
};

/* A port of a live sandbox that weftd could not open. */
struct health_not_open {
	struct addr address;
	bool udp;
	char sandbox[72];
	char holder[112]; /* who has it; "": weftd does not know */
};

/* How the daemon's catalogue fares; REDIS is "" where it does not say. */
struct health_catalog {
	char redis[324];
	bool up;
	size_t published, foreign;
	char error[256]; /* "": none */
};

/* The daemon's report about the kernel's table of loopback endpoints. MODE is "" if there is none. */
struct health_loopback {
	char mode[16];
	bool open, ipv6;
	char cgroup[256]; /* "": the table is not open */
	size_t entries, wanted;
	char error[256]; /* "": none */
};

/* What the running daemon said to somebody who asked it; all empty where nobody did, or it does not run. */
struct health_said {
	bool answered;
	bool all_layouts;     /* it named those of all its slots, so that no other group is one of theirs */
	char silent[160];     /* why it gave no answer in time, though it listens; "": it did, or was not asked */
	char state[16];       /* "adopting", ...; "" without an answer */
	size_t sandboxes;     /* their number */
	size_t wakeable;      /* of these, those that something wakes */
	size_t event_readers; /* programs that follow what happens */
	struct health_catalog catalog;
	struct health_loopback loopback;
	struct {
		VEC_OF(struct health_not_open);
	} not_open;
	struct {
		VEC_OF(uint16_t);
	} guest_ports; /* that its sandboxes publish, each once */
};

struct health_facts {
	const struct config *config; /* in force where a daemon runs and says so; else the one it would start with */
	const char *socket;          /* the control socket's path */

	/* The configuration's file, if that is not what CONFIG was read from; both NULL: it is, or is not visible. */
	const struct config *file;
	const char *file_path;

	/* The layouts by which weft's slots are known: that of CONFIG first, then those of slots that were made by another configuration. */
	struct {
		VEC_OF(struct health_layout);
	} layouts;

	/* Links, addresses, routes, rules. */
	struct inspect_host host;
	/* The packet filter; RULESET_ERROR says why it is empty, "" if it is not. */
	struct ruleset ruleset;
	char ruleset_error[256];
	/* Who the clients are: the user who called doctor by sudo, else the caller. */
	uint32_t client_user, client_group;
	/* The kernel's missing features ("" if none); FEATURES_ERROR says why they could not be tried. */
	char features_missing[256];
	char features_error[256];

	struct {
		VEC_OF(struct health_socket);
	} sockets;
	struct {
		VEC_OF(struct health_netns);
	} netns_names; /* under the layouts' directories */
	struct health_directory state_directory;
	struct {
		VEC_OF(struct health_orchestrator);
	} orchestrators;
	struct health_door door;

	struct health_said said; /* gathered by the caller, if at all */

	bool incomplete; /* there was no memory for some of them */

	/* The text of a file of /proc or /sys; NULL if there is none, or it cannot be read. The caller frees. */
	char *(*read_text)(void *context, const char *path);
	/* The process that holds the socket INODE, with its name ("?" where it has none); 0: none visible. */
	int (*holder)(void *context, uint64_t inode, char name[static 32]);
	const char *(*environment)(void *context, const char *name);
	/* The process that has a TCP socket bound in the way of ADDR, with its name and the owner of the socket; 0: none visible. */
	int (*bound)(void *context, const struct addr *addr, char name[static 32], unsigned *uid);
	/* Binds a TCP socket to ADDR as weftd's listeners are bound, and closes it at once. 0, or the errno. */
	int (*try_bind)(void *context, const struct addr *addr);
	/*
	 * Whether a unix socket is at PATH that root may connect to without CAP_DAC_OVERRIDE: 0, or the errno; ENOTSOCK: something else
	 * is there.
	 */
	int (*socket_at)(void *context, const char *path);
	/* Tries what the packet filter alone cannot tell; inspect_trial_run(). NULL: nothing is tried. */
	enum inspect_trial_result (*try_filter)(const struct inspect_trial *trial, char *text, size_t size);
	void *context;
};

/*
 * Begins with the ways to the real host: from then on health_daemon() and the notes below may be used. SOCKET is kept. Want of memory is
 * noted in INCOMPLETE.
 */
void health_facts_begin(struct health_facts *facts, const char *socket);

/*
 * Gathers the facts of the real host, after the notes. CONFIG is kept. Invisible parts are noted; they are no failure. STATE_DIR is the
 * state directory; PID, if it is not 0, the daemon in whose mount namespace that path counts.
 */
void health_facts_gather(struct health_facts *facts, const struct config *config, const char *state_dir, int pid);
void health_facts_clear(struct health_facts *facts);

/*
 * Notes what the running daemon says. Members of its `not_open`, as text, "" for those that are null; only those of sandboxes count.
 * A guest port over TCP. Want of memory is noted in INCOMPLETE.
 */
void health_note_not_open(struct health_facts *facts, const char *what, const char *address, const char *proto,
			  const char *holder);
void health_note_port(struct health_facts *facts, uint16_t port);

/* Notes a layout by which slots are known, unless it is already. Incomplete ones are left out. */
void health_note_layout(struct health_facts *facts, const struct health_layout *layout);

/* The layout of slots that CONFIG makes. */
struct health_layout health_layout_of_config(const struct config *config);

/*
 * Reads the whole number in the file PATH. False, with *NUMBER as it was: there is no such file, or something else is in it, such as
 * a number beyond the int of a sysctl.
 */
bool health_read_number(const struct health_facts *facts, const char *path, long long *number);

/* Parses the text of /proc/net/tcp or tcp6 and appends to the facts. */
void health_add_sockets(struct health_facts *facts, const char *text, bool ipv6);

/*
 * Gathers the facts about the door alone, by the sockets of this network namespace and the options of CONFIG, and asks it if one is in
 * use or ALWAYS. health_facts_gather() does that too.
 */
void health_facts_gather_door(struct health_facts *facts, const struct config *config, bool always);

/* The process that listens on the control socket; -1: one that we may not see; 0: none. */
int health_daemon(const struct health_facts *facts);

/* The text of a file of this host, as READ_TEXT has it; CONTEXT is not used. */
char *health_read_file(void *context, const char *path);

#endif

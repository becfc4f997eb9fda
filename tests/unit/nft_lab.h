/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_TESTS_NFT_LAB_H
#define WEFT_TESTS_NFT_LAB_H

/*
 * A network namespace for one test of the tables. The test holds the far side of tap0 as a guest would, and that of eth0 as the
 * host would. Check runs each test in a process of its own, so nothing need be undone.
 */

#include "config/config.h"
#include "fabric/rules/rules.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lab {
	struct config *config;
	int guest; /* tap0: frames to and from the guest */
	int host;  /* eth0: frames to and from the host */
};

/* Ends the program with 77 (skipped) without root, hence without namespaces. First in main(). */
void lab_require_root(void);

/* A new namespace, home from now on, with lo up. */
struct lab lab_open(void);

/* Adds tap0 and eth0 as in a slot's namespace, for slot 1. */
void lab_add_links(struct lab *lab);

/*
 * Adds a link in group GROUP with MAC 02:00:00:00:00:01, and a permanent neighbour GATEWAY with MAC 02:00:00:00:00:02. Returns
 * the descriptor of the link's far side.
 */
int lab_add_link(const char *name, const char *address, const char *gateway, unsigned group);

/* Runs a shell command that must succeed. */
void lab_run(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Returns the output of a shell command that must succeed; the caller frees. */
char *lab_output(const char *command);

/*
 * Lists the ruleset, loads the listing into the emptied kernel and lists again. Both must be the same. Returns the listing; the
 * caller frees.
 */
char *lab_round_trip(void);

/* ---- Frames, 14 bytes of Ethernet first ---- */

struct packet {
	uint8_t proto; /* IPPROTO_* */
	uint32_t source, destination;
	uint16_t source_port, destination_port;
	uint8_t tcp_flags;
	uint32_t sequence, acknowledged;
	uint16_t mss;    /* option; 0: none */
	size_t payload;  /* bytes */
	uint8_t icmp[2]; /* type and code */
	uint8_t tos;     /* DSCP and ECN */
	uint8_t ttl;     /* 0: 64 */
	/* The packet that an ICMP error is about, NULL: none. Not received. */
	const struct packet *quoted;
	uint16_t mtu; /* that the error tells of */
};

/* Sends PACKET from the guest to its gateway, with the right addresses below. */
void lab_guest_sends(const struct lab *lab, const struct packet *packet);
/* Sends it from the host to eth0. */
void lab_host_sends(const struct lab *lab, const struct packet *packet);
/* Sends it from the neighbour of a link that lab_add_link() made. */
void lab_sends(int fd, const struct packet *packet);
/* Sends a frame as it is. */
void lab_frame_sends(int fd, const void *frame, size_t size);

enum { LAB_TIMEOUT_MS = 20000 };

/* Whether another IPv4 packet comes out of FD within LAB_TIMEOUT_MS, and which. */
bool lab_receives(int fd, struct packet *packet);
/* Nothing comes. Frames are handled within the write, so all that was sent before is done with when this returns. */
bool lab_receives_nothing(int fd);

/* Packets of a counter of either table. */
uint64_t lab_counter(const char *family, const char *name);

#endif

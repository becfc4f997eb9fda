/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_TESTS_LOOPBACK_LAB_H
#define WEFT_TESTS_LOOPBACK_LAB_H

/*
 * A host with a cgroup of its own, in which the test is, a bpffs, and the address 10.11.0.1 behind a link. Behind it is the "guest", which
 * serves port 7001 of TCP and UDP; the "forwarder" serves port 7000 of 127.0.0.1 and ::1. A client asks for port 7000, and the test sees
 * who got it.
 */

#include "base/err.h"
#include "kernel/bpf.h"

#include <stdbool.h>
#include <stdint.h>

enum { LAB_PORT = 7000, LAB_GUEST_PORT = 7001, LAB_HOST_IP = 0x0a0b0001, LAB_PATH = 128 };

enum who { NOBODY, FORWARDER, GUEST };

struct loopback_lab {
	char root_cgroup[LAB_PATH], cgroup[LAB_PATH], other_cgroup[LAB_PATH], pins[LAB_PATH];
	int guest_netns;
	int tcp[3], udp[3]; /* the guest's; the forwarder's of 127.0.0.1 and of ::1 */
	struct kern_loopback *loopback;
	struct err err;
};

/* Mounts a cgroup2 and a bpffs for all tests, or ends the program with 77 where that is not possible. First in main(). */
void loopback_lab_begin(void);
void loopback_lab_end(void);

struct loopback_lab loopback_lab_open(void);
void loopback_lab_close(struct loopback_lab *lab);

/* What is sent to IP is lost from now on. */
void loopback_lab_drop(const struct loopback_lab *lab, const char *ip);

/* Moves the test into the cgroup. */
void loopback_lab_move(const char *cgroup);

/* Opens the programs at the cgroup, with a lease that does not end. */
void loopback_lab_start(struct loopback_lab *lab);

/* An entry for LISTEN ("127.0.0.1:7000") to the guest's port. */
void loopback_lab_put(struct loopback_lab *lab, const char *listen, enum proto proto);

struct addr loopback_lab_addr(const char *text);

/* "127.0.0.1:7000" as a socket of IPv6 writes it. */
struct addr loopback_lab_mapped(const char *text);

/* Whose queue the connection that waits for it is in. *ACCEPTED: its other end; may be NULL. */
enum who loopback_lab_accept(const struct loopback_lab *lab, int *accepted);

/* Connects to 127.0.0.1:7000, and ends that: who has got it. */
enum who loopback_lab_who_gets(const struct loopback_lab *lab);

/* Who has got a datagram. It is answered with the same bytes. */
enum who loopback_lab_answer(const struct loopback_lab *lab);

/* A socket of ADDR's family, whose reads end. */
int loopback_lab_socket(const struct addr *addr, int type);

/* getpeername() or getsockname() of FD, formatted; the port of the latter is left out. */
const char *loopback_lab_peer(int fd);
const char *loopback_lab_self(int fd);

#endif

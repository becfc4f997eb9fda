/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FAULTS_H
#define WEFT_FAULTS_H

/* The page by which a test commands faults.so. tests/integration/harness/faults.py writes and reads it by these places. */

#include <stdatomic.h>
#include <stdint.h>

enum fault {
	FAULT_MEMORY,  /* allocations: NULL with ENOMEM */
	FAULT_THREADS, /* pthread_create(): EAGAIN */
	FAULT_NETLINK, /* netlink messages: one is lost, with ENOBUFS */
	FAULT_KINDS,
};

enum { FAULT_CERTAIN = 65536 }; /* the chance of a fault that comes each time */

struct fault_page {
	struct {
		_Atomic uint32_t chance; /* of FAULT_CERTAIN; 0: never */
		_Atomic uint32_t met;    /* how often one was made */
	} faults[FAULT_KINDS];
};

#endif

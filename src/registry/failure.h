/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_REGISTRY_FAILURE_H
#define WEFT_REGISTRY_FAILURE_H

#include <stdbool.h>

/*
 * Why a sandbox is failed. The list is closed, and each entry is proved by a look at the objects themselves, never concluded from
 * an errno: a shortage, a busy kernel and a lost race say nothing about a sandbox. A failure is a report; it ends when a later look
 * finds its cause gone, unless registry_failure_is_final().
 */
enum failure {
	FAILURE_NONE,
	/* The namespace's file leads to a namespace that nothing proves ours, and no descriptor of ours is left of the own one. */
	FAILURE_NAMESPACE,
	FAILURE_LINK, /* under the name of its veth, or of tap0, stands a link that is not ours */
	FAILURE_TAP,  /* tap0 was deleted while a VM had it open; final */
	FAILURE_FILE, /* its stored file is lost or cannot be read, and a VM lives on its slot; final */
	FAILURE_TEARDOWN, /* a foreign object keeps it from being taken apart; its endpoints are closed. DELETE tries again */
};

/* The reason that is given for FAILURE_TAP, by whoever finds it and after a restart. */
#define FAILURE_TAP_REASON "tap0 was deleted under the VM"

/* Whether only DELETE ends it. */
static inline bool registry_failure_is_final(enum failure failure)
{
	return failure == FAILURE_TAP || failure == FAILURE_FILE;
}

#endif

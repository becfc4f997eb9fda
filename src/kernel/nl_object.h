/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_NL_OBJECT_H
#define WEFT_KERNEL_NL_OBJECT_H

/*
 * libnl's objects, of which kernel/ builds its messages: each lives until the message is built, and no longer. Each may be NULL,
 * for want of memory; libnl's functions that fill them take no NULL, so it is checked before they are called.
 * An object belongs to one thread. The tables of libnl that all threads share are under a lock of libnl's own.
 */

#include "base/addr.h"

#include <arpa/inet.h>
#include <netlink/addr.h>
#include <stdint.h>
#include <sys/socket.h>

/* IP (host order) with a prefix of LENGTH bits; LENGTH 0: no bits at all. NULL: no memory. */
static inline struct nl_addr *kern_nl_ipv4(uint32_t ip, uint8_t length)
{
	uint32_t octets = htonl(ip);
	struct nl_addr *addr = nl_addr_build(AF_INET, &octets, length ? sizeof(octets) : 0);

	if (addr)
		nl_addr_set_prefixlen(addr, length);
	return addr;
}

/* NULL: no memory. */
static inline struct nl_addr *kern_nl_mac(const struct mac *mac)
{
	return nl_addr_build(AF_LLC, mac->octets, sizeof(mac->octets));
}

/* Scope cleanup, see base/cleanup.h. Each of libnl's *_put() is harmless on NULL. */
#define AUTO_NL(kind) __attribute__((cleanup(kern_nl_cleanup_##kind))) struct kind
#define KERN_NL_CLEANUP(kind)                                                                                          \
	static inline void kern_nl_cleanup_##kind(struct kind **object)                                                \
	{                                                                                                              \
		kind##_put(*object);                                                                                   \
		*object = NULL;                                                                                        \
	}                                                                                                              \
	struct kind

KERN_NL_CLEANUP(nl_addr);

#endif

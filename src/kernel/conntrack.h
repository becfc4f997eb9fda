/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_KERNEL_CONNTRACK_H
#define WEFT_KERNEL_CONNTRACK_H

#include <stdint.h>

struct err;

/*
 * What conntrack_flush_host() does where the kernel cannot search for an address: dumps all flows, and deletes those of HOST_IP
 * (host order) one by one. FD: nft_socket(). For conntrack.c and its test. 0 or -1 with ERR.
 */
int conntrack_flush_one_by_one(int fd, uint32_t host_ip, struct err *err);

#endif

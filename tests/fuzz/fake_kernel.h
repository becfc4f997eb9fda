/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_FUZZ_FAKE_KERNEL_H
#define WEFT_FUZZ_FAKE_KERNEL_H

/*
 * A kernel whose answers are the input. The functions of libc that readers of netlink, of socket options and of /proc call are
 * defined in fake_kernel.c, and so replace libc's in the whole program, shared libraries included. Between fake_kernel_start()
 * and fake_kernel_stop() they answer from the input; else they are libc's own.
 *
 * Answers on netlink are datagrams, each with its length before it (two bytes, low byte first). The header of each message in
 * them gets the sequence number and the port that the reader waits for, since no reader looks at messages with others. When
 * the input is used up, requests are acknowledged and dumps end. No message is longer than its datagram.
 *
 * libnftnl ends the process if an attribute is not what it expects of the kernel. Here that ends the run. One thread.
 */

#include <setjmp.h>

#include <stddef.h>
#include <stdint.h>

extern jmp_buf fake_kernel_ends;

/* Starts with DATA, which must live until fake_kernel_stop(). False, a second time: libnftnl would have ended the process. */
#define fake_kernel_run(data, size) (fake_kernel_start((data), (size)), setjmp(fake_kernel_ends) == 0)
void fake_kernel_start(const uint8_t *data, size_t size);
void fake_kernel_stop(void);

#endif

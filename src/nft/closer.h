/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_NFT_CLOSER_H
#define WEFT_NFT_CLOSER_H

/*
 * A thread that closes sockets later. After a batch that deleted something, the kernel lets whoever closes a netfilter socket of that
 * namespace wait until no packet can be at what was deleted: 5 to 20 ms, in which no other batch of the namespace is taken either. What was
 * asked for is done by then. Some time later there is nothing to wait for.
 */

struct err;

/* Starts the thread, for all threads of the process. Without it, sockets are closed where they are used. Main thread. 0, or -1 with ERR. */
int nft_closer_start(struct err *err);

/* Closes what is left and ends the thread. Harmless when it does not run. Main thread, when no other uses sockets of nft/ any more. */
void nft_closer_stop(void);

/* Closes FD within about NFT_CLOSER_MS. Any thread. */
enum { NFT_CLOSER_MS = 100 };
void nft_closer_take(int fd);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_NFT_BATCH_H
#define WEFT_NFT_BATCH_H

/*
 * Messages to and from the kernel's nf_tables. A batch is done as a whole or not at all; a dump reads.
 *
 * A batch belongs to one thread. If memory runs out while a batch is filled, nft_batch_send() reports it, so the functions that
 * fill it need not check each message.
 */

#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define NFT_TABLE_NAME "weft"

struct nft_batch {
	char *data;
	size_t used, room;     /* bytes */
	unsigned messages;     /* NEW..., DEL...; the frame of the batch not counted */
	struct nlmsghdr *open; /* the message being filled */
	uint8_t family;        /* NFPROTO_* of the messages to come */
	uint32_t set_ids;
	bool broken; /* no memory */
	bool over;   /* what is added may exist, see nft_batch_over() */
	bool ahead;  /* rules to come go in front of those of their chain, the last one first; the owner sets it */
	/* The rule being filled, see expr.c. */
	struct nlattr *expressions;
	unsigned stated; /* the protocols that the rule has stated already */
};

/* FAMILY: NFPROTO_INET, ... */
void nft_batch_begin(struct nft_batch *batch, uint8_t family);
void nft_batch_free(struct nft_batch *batch);

/*
 * From here on, additions bring tables that exist up to date: counters go on, a chain loses its former rules, and sets that
 * weft fills are left as they are, contents and all. A set that is missing makes the rules that use it fail.
 */
void nft_batch_over(struct nft_batch *batch);

/*
 * Opens a message of TYPE (NFT_MSG_*) with room for SIZE bytes of attributes. Fill batch->open with mnl_attr_put_*(), then call
 * nft_batch_close(). FLAGS: NLM_F_CREATE, NLM_F_EXCL, ... Returns NULL without memory; do not fill or close anything then.
 */
struct nlmsghdr *nft_batch_open(struct nft_batch *batch, int type, int flags, size_t size);
void nft_batch_close(struct nft_batch *batch);

/*
 * Has the kernel do all of it in the namespace of NETNS_FD (-1: home). Returns 0; or -1 with the kernel's reason and the
 * message at fault in ERR, and nothing is done. The batch can be sent again. Where the kernel's answer itself was lost ("no
 * answer" in ERR), all of it may have been done.
 */
int nft_batch_send(struct nft_batch *batch, int netns_fd, struct err *err);

/* Walks the messages of a batch, without its frame. Start with NULL; NULL is the end. */
const struct nlmsghdr *nft_batch_next(const struct nft_batch *batch, const struct nlmsghdr *message);

/* A netlink socket of the netfilter family in the namespace of NETNS_FD; the caller closes it. -1 with ERR. */
int nft_socket(int netns_fd, struct err *err);

/*
 * Sends REQUEST, a dump if its flags say so, and passes each answer to EACH, which returns MNL_CB_OK, or MNL_CB_ERROR with
 * errno set. Returns 0, or -1 with ERR. err->code is EINTR if the tables changed during the dump: discard the answers and ask
 * again, at most NFT_ATTEMPTS times. The caller adds to ERR's text what it asked for.
 */
enum { NFT_ATTEMPTS = 16 };
int nft_ask(int fd, struct nlmsghdr *request, mnl_cb_t each, void *context, struct err *err);

/* Writes the header of a request about our table in FAMILY to BUFFER. MSG: NFT_MSG_GET*. */
struct nlmsghdr *nft_request(void *buffer, int msg, uint8_t family, int flags);

/* Walk the attributes of a message, and of a nest. libmnl's own macros do not compile with -Wconversion. */
#define nft_for_each(attr, message)                                                                                    \
	for ((attr) = mnl_nlmsg_get_payload_offset((message), sizeof(struct nfgenmsg));                                \
	     mnl_attr_ok((attr), (int)((const char *)mnl_nlmsg_get_payload_tail(message) - (const char *)(attr)));     \
	     (attr) = mnl_attr_next(attr))
#define nft_for_each_nested(attr, nest)                                                                                \
	for ((attr) = mnl_attr_get_payload(nest);                                                                      \
	     mnl_attr_ok((attr), (int)((const char *)mnl_attr_get_payload(nest) + mnl_attr_get_payload_len(nest) -     \
				       (const char *)(attr)));                                                         \
	     (attr) = mnl_attr_next(attr))

#endif

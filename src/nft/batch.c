/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A batch is one buffer, sent with one system call: begin, messages, end. The kernel does it all and queues its answers before
 * sendmsg() returns, so reading never waits. Only the last message asks for an acknowledgement, since one for each would
 * overflow the receive buffer at about 140 messages. Errors come unasked. A message's sequence number is its place, by which an
 * error is traced to its message.
 */
#include "nft/batch.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/netns.h"
#include "base/thread.h"
#include "nft/closer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
	FIRST_ROOM = 16 * 1024,
	ANSWER_ROOM = 32 * 1024,
	SEND_ROOM = 128 * 1024, /* a socket's send buffer takes this by default */
	RECEIVE_TRIES = 8,
};

static bool nft_batch_reserve(struct nft_batch *batch, size_t size)
{
	size_t wanted = batch->used + size;

	if (batch->broken)
		return false;
	if (wanted <= batch->room)
		return true;
	size_t room = batch->room ? batch->room : FIRST_ROOM;
	while (room < wanted)
		room *= 2;

	char *data = realloc(batch->data, room);
	if (!data) {
		batch->broken = true;
		return false;
	}
	batch->data = data;
	batch->room = room;
	return true;
}

static struct nlmsghdr *nft_batch_put_header(struct nft_batch *batch, int type, int flags, uint16_t resource,
					     uint32_t sequence)
{
	struct nlmsghdr *header = mnl_nlmsg_put_header(batch->data + batch->used);

	header->nlmsg_type = (uint16_t)type;
	header->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	header->nlmsg_seq = sequence;

	struct nfgenmsg *generic = mnl_nlmsg_put_extra_header(header, sizeof(*generic));
	generic->nfgen_family = batch->family;
	generic->version = NFNETLINK_V0;
	generic->res_id = htons(resource);
	return header;
}

static void nft_batch_put_frame(struct nft_batch *batch, int type, uint32_t sequence)
{
	uint8_t family = batch->family;

	if (!nft_batch_reserve(batch, 64))
		return;
	batch->family = AF_UNSPEC;
	batch->used += nft_batch_put_header(batch, type, 0, NFNL_SUBSYS_NFTABLES, sequence)->nlmsg_len;
	batch->family = family;
}

void nft_batch_begin(struct nft_batch *batch, uint8_t family)
{
	*batch = (struct nft_batch){ .family = family };
	nft_batch_put_frame(batch, NFNL_MSG_BATCH_BEGIN, 0);
}

void nft_batch_over(struct nft_batch *batch)
{
	batch->over = true;
}

void nft_batch_free(struct nft_batch *batch)
{
	free(batch->data);
	*batch = (struct nft_batch){ 0 };
}

struct nlmsghdr *nft_batch_open(struct nft_batch *batch, int type, int flags, size_t size)
{
	if (!nft_batch_reserve(batch, size + 64))
		return NULL;
	batch->open = nft_batch_put_header(batch, NFNL_SUBSYS_NFTABLES << 8 | type, flags, 0, ++batch->messages);
	return batch->open;
}

void nft_batch_close(struct nft_batch *batch)
{
	batch->used += MNL_ALIGN(batch->open->nlmsg_len);
	batch->open = NULL;
}

const struct nlmsghdr *nft_batch_next(const struct nft_batch *batch, const struct nlmsghdr *message)
{
	const char *at = message ? (const char *)message : batch->data;

	at += MNL_ALIGN(((const struct nlmsghdr *)at)->nlmsg_len);
	return at < batch->data + batch->used ? (const struct nlmsghdr *)at : NULL;
}

/* ---- Errors ---- */

static int nft_take_name(const struct nlattr *attr, void *data)
{
	const char **names = data;

	/* Table, then chain, set or object, in all messages. A chain's name comes third, after its handle. */
	if (mnl_attr_get_type(attr) <= 3)
		names[mnl_attr_get_type(attr)] = mnl_attr_get_str(attr);
	return MNL_CB_OK;
}

/* Writes the request of MESSAGE to TEXT, such as "new rule in chain input". */
static void nft_batch_describe(const struct nlmsghdr *message, char *text, size_t size)
{
	static const struct {
		const char *what;
		int name; /* attribute with the name; 0: the table's name alone */
	} kinds[] = {
		[NFT_MSG_NEWTABLE] = { "new table", 0 },
		[NFT_MSG_DELTABLE] = { "delete table", 0 },
		[NFT_MSG_NEWCHAIN] = { "new chain", NFTA_CHAIN_NAME },
		[NFT_MSG_DELCHAIN] = { "delete chain", NFTA_CHAIN_NAME },
		[NFT_MSG_NEWRULE] = { "new rule in chain", NFTA_RULE_CHAIN },
		[NFT_MSG_DELRULE] = { "delete rules of chain", NFTA_RULE_CHAIN },
		[NFT_MSG_NEWSET] = { "new set", NFTA_SET_NAME },
		[NFT_MSG_DELSET] = { "delete set", NFTA_SET_NAME },
		[NFT_MSG_NEWSETELEM] = { "new elements of set", NFTA_SET_ELEM_LIST_SET },
		[NFT_MSG_DELSETELEM] = { "delete elements of set", NFTA_SET_ELEM_LIST_SET },
		[NFT_MSG_NEWOBJ] = { "new counter", NFTA_OBJ_NAME },
	};
	const char *names[4] = { NULL, NULL, NULL, NULL };
	size_t kind = NFNL_MSG_TYPE(message->nlmsg_type);

	if (kind >= sizeof(kinds) / sizeof(kinds[0]) || !kinds[kind].what) {
		snprintf(text, size, "nftables: message %zu", kind);
		return;
	}
	mnl_attr_parse(message, sizeof(struct nfgenmsg), nft_take_name, names);
	const char *name = kinds[kind].name ? names[kinds[kind].name] : NFT_TABLE_NAME;
	snprintf(text, size, "nftables: %s %s", kinds[kind].what, name ? name : "?");
}

static int nft_take_text(const struct nlattr *attr, void *data)
{
	const char **text = data;

	if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG)
		*text = mnl_attr_get_str(attr);
	return MNL_CB_OK;
}

/* The kernel's explanation beyond the errno value; NULL: none. With NETLINK_CAP_ACK only the request's header comes back. */
static const char *nft_extended_text(const struct nlmsghdr *answer)
{
	const char *text = NULL;

	if (answer->nlmsg_flags & NLM_F_ACK_TLVS)
		mnl_attr_parse(answer, sizeof(struct nlmsgerr), nft_take_text, &text);
	return text;
}

static int nft_report_error(const struct nlmsghdr *answer, const char *what, struct err *err)
{
	const struct nlmsgerr *error = mnl_nlmsg_get_payload(answer);
	const char *more = nft_extended_text(answer);
	int code = err_is_answer(error->error) ? -error->error : EBADMSG;

	if (more)
		return err_set(err, code, "%s: %s", what, more);
	return err_set(err, code, "%s", what);
}

/* ---- Sending ---- */

int nft_socket(int netns_fd, struct err *err)
{
	AUTO_FD int fd = base_netns_socket(netns_fd, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER, err);
	int on = 1;

	if (fd < 0) {
		err->code = err_talk_code(err->code);
		return err_wrap(err, "nftables");
	}
	/* Both only improve error messages. */
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	return steal_fd(&fd);
}

static int nft_send_all(int fd, const void *data, size_t size, struct err *err)
{
	const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	int room = (int)size + 4096;

	if (size > SEND_ROOM && setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) < 0)
		return err_set(err, err_talk_code(errno), "nftables: room for a batch of %zu bytes", size);
	base_thread_move();
	while (sendto(fd, data, size, 0, (const struct sockaddr *)&kernel, sizeof(kernel)) < 0) {
		if (errno != EINTR)
			return err_set(err, err_talk_code(errno), "nftables: sending %zu bytes", size);
	}
	return 0;
}

static struct nlmsghdr *nft_batch_find(const struct nft_batch *batch, uint32_t sequence)
{
	const struct nlmsghdr *message = NULL;

	while ((message = nft_batch_next(batch, message)))
		if (message->nlmsg_seq == sequence)
			break;
	return (struct nlmsghdr *)message;
}

/* Reports the first error of ANSWERS in ERR, unless *FAILED. *DONE: the last message was acknowledged. */
static void nft_batch_read_answers(const struct nft_batch *batch, const char *answers, size_t size, bool *failed,
				   bool *done, struct err *err)
{
	const struct nlmsghdr *answer = (const struct nlmsghdr *)answers;
	int left = (int)size;

	for (; mnl_nlmsg_ok(answer, left); answer = mnl_nlmsg_next(answer, &left)) {
		const struct nlmsgerr *error = mnl_nlmsg_get_payload(answer);
		char what[96] = "nftables: the batch";

		if (answer->nlmsg_type != NLMSG_ERROR || *failed)
			continue;
		if (!error->error) {
			*done = true;
			continue;
		}
		const struct nlmsghdr *blamed = nft_batch_find(batch, answer->nlmsg_seq);
		if (blamed && answer->nlmsg_seq <= batch->messages)
			nft_batch_describe(blamed, what, sizeof(what));
		nft_report_error(answer, what, err);
		*failed = true;
	}
}

static int nft_batch_collect_answers(const struct nft_batch *batch, int fd, struct err *err)
{
	char answers[ANSWER_ROOM] __attribute__((aligned(NLMSG_ALIGNTO)));
	bool failed = false, done = false;
	int code = EPROTO;

	/* ENOBUFS: there were more errors than fit, and the first ones are here. All others say that one read failed. */
	for (int failures = 0; failures < RECEIVE_TRIES;) {
		ssize_t got = recv(fd, answers, sizeof(answers), MSG_DONTWAIT);
		if (got > 0) {
			nft_batch_read_answers(batch, answers, (size_t)got, &failed, &done, err);
			continue;
		}
		if (got < 0 && errno == EAGAIN && (failed || done))
			break;
		if (got < 0 && errno != EAGAIN && errno != EINTR)
			code = err_talk_code(errno);
		failures++;
	}
	if (failed)
		return -1;
	return done ? 0 : err_set(err, code, "nftables: no answer to a batch of %u", batch->messages);
}

/* Whether the kernel has something to wait for when the socket is closed. */
static bool nft_batch_deletes(const struct nft_batch *batch)
{
	const struct nlmsghdr *message = NULL;

	while ((message = nft_batch_next(batch, message)))
		switch (NFNL_MSG_TYPE(message->nlmsg_type)) {
		case NFT_MSG_DELTABLE:
		case NFT_MSG_DELCHAIN:
		case NFT_MSG_DELRULE:
		case NFT_MSG_DELSET:
		case NFT_MSG_DELSETELEM:
			return true;
		}
	return false;
}

int nft_batch_send(struct nft_batch *batch, int netns_fd, struct err *err)
{
	if (!batch->broken && !batch->messages)
		return 0;

	size_t used = batch->used;
	nft_batch_put_frame(batch, NFNL_MSG_BATCH_END, batch->messages + 1);
	if (batch->broken)
		return err_set(err, ENOMEM, "nftables: a batch");
	nft_batch_find(batch, batch->messages)->nlmsg_flags |= NLM_F_ACK;

	int fd = nft_socket(netns_fd, err);
	int status = fd < 0 ? -1 : nft_send_all(fd, batch->data, batch->used, err);
	batch->used = used;
	if (status == 0)
		status = nft_batch_collect_answers(batch, fd, err);
	/* In the home namespace there may be another's deletion to wait for. */
	if (fd >= 0 && (netns_fd < 0 || nft_batch_deletes(batch)))
		nft_closer_take(fd);
	else if (fd >= 0)
		close(fd);
	return status;
}

/* ---- Asking ---- */

struct nlmsghdr *nft_request(void *buffer, int msg, uint8_t family, int flags)
{
	struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);

	header->nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | msg);
	header->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);

	struct nfgenmsg *generic = mnl_nlmsg_put_extra_header(header, sizeof(*generic));
	generic->nfgen_family = family;
	generic->version = NFNETLINK_V0;
	return header;
}

/* The next answer to a request: its size, or -1 with errno. A read that failed is tried again without waiting: see above. */
static ssize_t nft_receive(int fd, char *answers, size_t size)
{
	int code = 0, failures = 0;

	for (;;) {
		ssize_t got = recv(fd, answers, size, code ? MSG_DONTWAIT : 0);

		if (got >= 0)
			return got;
		if (errno == EINTR)
			continue;
		if ((code && errno == EAGAIN) || ++failures == RECEIVE_TRIES) {
			errno = code ? code : errno;
			return -1;
		}
		if (!code)
			code = errno;
	}
}

int nft_ask(int fd, struct nlmsghdr *request, mnl_cb_t each, void *context, struct err *err)
{
	static _Thread_local uint32_t sequence;
	char answers[ANSWER_ROOM] __attribute__((aligned(NLMSG_ALIGNTO)));
	bool dump = (request->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;

	if (!dump)
		request->nlmsg_flags |= NLM_F_ACK;
	request->nlmsg_seq = ++sequence;
	if (nft_send_all(fd, request, request->nlmsg_len, err) < 0)
		return -1;

	int status = MNL_CB_OK;
	while (status == MNL_CB_OK) {
		base_thread_move();
		ssize_t got = nft_receive(fd, answers, sizeof(answers));
		if (got < 0)
			return err_set(err, err_talk_code(errno), "netfilter: reading");
		const struct nlmsghdr *first = (const struct nlmsghdr *)answers;
		const struct nlmsgerr *error = mnl_nlmsg_get_payload(first);
		if (first->nlmsg_type == NLMSG_ERROR && first->nlmsg_seq == sequence && error->error)
			return nft_report_error(first, "netfilter", err);
		status = mnl_cb_run(answers, (size_t)got, sequence, 0, each, context);
	}
	if (status < 0)
		return err_set(err, errno, "netfilter: reading");
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a batch asks for and what the kernel dumps are messages of the same kinds, so both are written down by the same code
 * (nft_text.c), and the two texts must be equal. What is kept between checks is only how bytes read, so nothing can be out of
 * date, and an altered expression shows as surely as a missing table.
 */
#include "nft/check.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "nft/text.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <pthread.h>
#include <stdio.h>

/* Whoever gets the lock uses them; a check that does not goes without. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct nft_memory *memory_of_wanted, *memory_of_found;

void nft_check_forget(void)
{
	pthread_mutex_lock(&lock);
	nft_memory_free(memory_of_wanted);
	nft_memory_free(memory_of_found);
	memory_of_wanted = memory_of_found = NULL;
	pthread_mutex_unlock(&lock);
}

static unsigned family_of(const struct nlmsghdr *message)
{
	const struct nfgenmsg *generic = mnl_nlmsg_get_payload(message);

	return generic->nfgen_family;
}

/* ---- Dumping ---- */

static int write_message(const struct nlmsghdr *message, void *data)
{
	nft_text_write(data, message);
	return MNL_CB_OK;
}

static int dump_all(int fd, int what, struct nft_text *text, struct err *err)
{
	char buffer[256] __attribute__((aligned(NLMSG_ALIGNTO)));

	return nft_ask(fd, nft_request(buffer, what, AF_UNSPEC, NLM_F_DUMP), write_message, text, err);
}

/* A set that went meanwhile is a difference like any other. */
static int dump_elements(int fd, unsigned family, const char *name, struct nft_text *text, struct err *err)
{
	char buffer[512] __attribute__((aligned(NLMSG_ALIGNTO)));

	if (nft_text_skips(text, name))
		return 0;
	struct nlmsghdr *request = nft_request(buffer, NFT_MSG_GETSETELEM, (uint8_t)family, NLM_F_DUMP);
	mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_TABLE, NFT_TABLE_NAME);
	mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_SET, name);
	return nft_ask(fd, request, write_message, text, err) < 0 && err->code != ENOENT ? -1 : 0;
}

static int dump_tables(int netns_fd, struct nft_text *text, struct err *err)
{
	static const int kinds[] = { NFT_MSG_GETTABLE, NFT_MSG_GETCHAIN, NFT_MSG_GETRULE, NFT_MSG_GETOBJ,
				     NFT_MSG_GETSET };
	AUTO_FD int fd = nft_socket(netns_fd, err);

	if (fd < 0)
		return -1;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (dump_all(fd, kinds[i], text, err) < 0)
			return -1;
	for (size_t i = 0; i < text->set_count; i++)
		if (dump_elements(fd, text->sets[i].family, text->sets[i].name, text, err) < 0)
			return -1;
	return 0;
}

static int dump_whole(int netns_fd, struct nft_text *text, struct err *err)
{
	for (unsigned i = 0; i < NFT_ATTEMPTS; i++) {
		nft_text_clear(text);
		if (dump_tables(netns_fd, text, err) == 0)
			return 0;
		if (err->code != EINTR)
			return -1;
	}
	return err_set(err, EAGAIN, "nftables: the tables change all the time");
}

static int compare(int netns_fd, const struct nft_batch *wanted, struct nft_text *should, struct nft_text *is,
		   bool *intact, struct err *err)
{
	const struct nlmsghdr *message = NULL;

	while (!wanted->broken && (message = nft_batch_next(wanted, message))) {
		should->families[family_of(message)] = is->families[family_of(message)] = true;
		nft_text_write(should, message);
	}
	if (dump_whole(netns_fd, is, err) < 0)
		return -1;
	if (wanted->broken || should->broken || is->broken)
		return err_set(err, ENOMEM, "nftables: comparing");
	*intact = nft_text_equal(should, is);
	return 0;
}

int nft_check(int netns_fd, const struct nft_batch *wanted, const char *const *filled, bool *intact, struct err *err)
{
	struct nft_text should = { .filled = filled }, is = { .filled = filled };
	bool locked = pthread_mutex_trylock(&lock) == 0;

	if (locked) {
		if (!memory_of_wanted)
			memory_of_wanted = nft_memory_new();
		if (!memory_of_found)
			memory_of_found = nft_memory_new();
		should.memory = memory_of_wanted;
		is.memory = memory_of_found;
	}
	int status = compare(netns_fd, wanted, &should, &is, intact, err);
	nft_text_clear(&should);
	nft_text_clear(&is);
	if (locked)
		pthread_mutex_unlock(&lock);
	return status;
}

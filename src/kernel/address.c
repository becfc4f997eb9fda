/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An address may be asked for twice: EEXIST from the kernel is the answer that it is in place. */
#include "kernel/address.h"

#include "base/err.h"
#include "kernel/nl_object.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <netlink/route/addr.h>

KERN_NL_CLEANUP(rtnl_addr);

/* The message that adds CIDR. NULL: no memory. */
static struct nl_msg *kern_address_build(int index, const struct cidr4 *cidr)
{
	AUTO_NL(rtnl_addr) *address = rtnl_addr_alloc();
	AUTO_NL(nl_addr) *local = kern_nl_ipv4(cidr->ip, 32);
	struct nl_msg *message;

	if (!address || !local || rtnl_addr_set_local(address, local) < 0)
		return NULL;
	rtnl_addr_set_ifindex(address, index);
	rtnl_addr_set_prefixlen(address, cidr->length);
	return rtnl_addr_build_add_request(address, NLM_F_CREATE | NLM_F_EXCL, &message) < 0 ? NULL : message;
}

int kern_address_ensure(struct kern_rtnl *rtnl, int index, const struct cidr4 *cidr, bool *added, struct err *err)
{
	char text[CIDR4_TEXT_SIZE];

	if (added)
		*added = true;
	if (kern_rtnl_send(rtnl, kern_address_build(index, cidr), err, "address %s", addr_cidr4_format(cidr, text)) ==
	    0)
		return 0;
	if (err->code != EEXIST)
		return -1;
	if (added)
		*added = false;
	return 0;
}

struct kern_address_walk {
	int index;
	void (*take)(void *context, const struct kern_address *address);
	void *context;
};

static int kern_address_take_one(const struct nlmsghdr *header, void *context)
{
	const struct kern_address_walk *walk = context;
	const struct ifaddrmsg *body = nlmsg_data(header);
	const struct nlattr *table[IFA_MAX + 1];
	struct kern_address address;

	if (header->nlmsg_type != RTM_NEWADDR || nlmsg_datalen(header) < (int)sizeof(*body) ||
	    body->ifa_family != AF_INET || (walk->index && body->ifa_index != (unsigned)walk->index))
		return 0;
	kern_rtnl_attributes(header, sizeof(*body), table, IFA_MAX + 1);
	if (!table[IFA_LOCAL] || nla_len(table[IFA_LOCAL]) != (int)sizeof(uint32_t))
		return 0;
	address.index = (int)body->ifa_index;
	address.cidr = (struct cidr4){ .ip = ntohl(nla_get_u32(table[IFA_LOCAL])), .length = body->ifa_prefixlen };
	walk->take(walk->context, &address);
	return 0;
}

int kern_address_dump(struct kern_rtnl *rtnl, int index,
		      void (*take)(void *context, const struct kern_address *address), void *context, struct err *err)
{
	const struct ifaddrmsg body = { .ifa_family = AF_INET, .ifa_index = (unsigned)index };
	struct kern_address_walk walk = { .index = index, .take = take, .context = context };

	return kern_rtnl_ask(rtnl, kern_rtnl_message(RTM_GETADDR, NLM_F_DUMP, &body, sizeof(body)),
			     kern_address_take_one, &walk, err, "addresses");
}

struct kern_address_search {
	const struct cidr4 *cidr;
	bool there;
};

static void kern_address_compare(void *context, const struct kern_address *address)
{
	struct kern_address_search *search = context;

	search->there |= addr_cidr4_equal(&address->cidr, search->cidr);
}

int kern_address_find(struct kern_rtnl *rtnl, int index, const struct cidr4 *cidr, bool *there, struct err *err)
{
	enum { TRIES = 10 };
	struct kern_address_search search;
	int result = -1;

	for (int i = 0; i < TRIES && result < 0; i++) {
		search = (struct kern_address_search){ .cidr = cidr };
		result = kern_address_dump(rtnl, index, kern_address_compare, &search, err);
		if (result < 0 && err->code != EINTR)
			break;
	}
	*there = search.there;
	return result;
}

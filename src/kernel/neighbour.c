/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A permanent entry spares the packets to a sandbox the wait for ARP, and a guest cannot take another's place by ARP. */
#include "kernel/neighbour.h"

#include "base/err.h"
#include "kernel/nl_object.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netlink/route/neighbour.h>
#include <string.h>

KERN_NL_CLEANUP(rtnl_neigh);

/* NULL: no memory. */
static struct nl_msg *kern_neighbour_build(int index, uint32_t ip, const struct mac *mac)
{
	AUTO_NL(rtnl_neigh) *neighbour = rtnl_neigh_alloc();
	AUTO_NL(nl_addr) *address = kern_nl_ipv4(ip, 32);
	AUTO_NL(nl_addr) *link_address = kern_nl_mac(mac);
	struct nl_msg *message;

	if (!neighbour || !address || !link_address || rtnl_neigh_set_dst(neighbour, address) < 0)
		return NULL;
	rtnl_neigh_set_lladdr(neighbour, link_address);
	rtnl_neigh_set_ifindex(neighbour, index);
	rtnl_neigh_set_state(neighbour, NUD_PERMANENT);
	return rtnl_neigh_build_add_request(neighbour, NLM_F_CREATE | NLM_F_REPLACE, &message) < 0 ? NULL : message;
}

int kern_neighbour_ensure(struct kern_rtnl *rtnl, int index, uint32_t ip, const struct mac *mac, struct err *err)
{
	char text[IPV4_TEXT_SIZE];

	return kern_rtnl_send(rtnl, kern_neighbour_build(index, ip, mac), err, "neighbour %s",
			      addr_ipv4_format(ip, text));
}

struct kern_neighbour_search {
	const struct mac *mac;
	bool there;
};

static int kern_neighbour_compare(const struct nlmsghdr *header, void *context)
{
	struct kern_neighbour_search *search = context;
	const struct ndmsg *body = nlmsg_data(header);
	const struct nlattr *table[NDA_MAX + 1];

	if (header->nlmsg_type != RTM_NEWNEIGH || nlmsg_datalen(header) < (int)sizeof(*body))
		return 0;
	kern_rtnl_attributes(header, sizeof(*body), table, NDA_MAX + 1);
	search->there = body->ndm_state & NUD_PERMANENT && table[NDA_LLADDR] &&
			nla_len(table[NDA_LLADDR]) == (int)sizeof(search->mac->octets) &&
			memcmp(nla_data(table[NDA_LLADDR]), search->mac->octets, sizeof(search->mac->octets)) == 0;
	return 0;
}

int kern_neighbour_find(struct kern_rtnl *rtnl, int index, uint32_t ip, const struct mac *mac, bool *there,
			struct err *err)
{
	const struct ndmsg body = { .ndm_family = AF_INET, .ndm_ifindex = index };
	struct kern_neighbour_search search = { .mac = mac };
	char text[IPV4_TEXT_SIZE];
	struct nl_msg *message =
	    kern_rtnl_put_u32(kern_rtnl_message(RTM_GETNEIGH, 0, &body, sizeof(body)), NDA_DST, htonl(ip));

	*there = false;
	if (kern_rtnl_ask(rtnl, message, kern_neighbour_compare, &search, err, "neighbour %s",
			  addr_ipv4_format(ip, text)) < 0)
		return err->code == ENOENT ? 0 : -1;
	*there = search.there;
	return 0;
}

struct kern_neighbour_walk {
	int index;
	void (*take)(void *context, uint32_t ip, const struct mac *mac);
	void *context;
};

static int kern_neighbour_take_one(const struct nlmsghdr *header, void *context)
{
	const struct kern_neighbour_walk *walk = context;
	const struct ndmsg *body = nlmsg_data(header);
	const struct nlattr *table[NDA_MAX + 1];
	struct mac mac;

	if (header->nlmsg_type != RTM_NEWNEIGH || nlmsg_datalen(header) < (int)sizeof(*body) ||
	    body->ndm_ifindex != walk->index || !(body->ndm_state & NUD_PERMANENT))
		return 0;
	kern_rtnl_attributes(header, sizeof(*body), table, NDA_MAX + 1);
	if (!table[NDA_DST] || nla_len(table[NDA_DST]) != (int)sizeof(uint32_t) || !table[NDA_LLADDR] ||
	    nla_len(table[NDA_LLADDR]) != (int)sizeof(mac.octets))
		return 0;
	memcpy(mac.octets, nla_data(table[NDA_LLADDR]), sizeof(mac.octets));
	walk->take(walk->context, ntohl(nla_get_u32(table[NDA_DST])), &mac);
	return 0;
}

int kern_neighbour_dump(struct kern_rtnl *rtnl, int index,
			void (*take)(void *context, uint32_t ip, const struct mac *mac), void *context, struct err *err)
{
	const struct ndmsg body = { .ndm_family = AF_INET }; /* the kernel refuses an index in a dump's header */
	struct kern_neighbour_walk walk = { .index = index, .take = take, .context = context };

	return kern_rtnl_ask(rtnl, kern_rtnl_message(RTM_GETNEIGH, NLM_F_DUMP, &body, sizeof(body)),
			     kern_neighbour_take_one, &walk, err, "neighbours");
}

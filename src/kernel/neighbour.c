/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A permanent entry spares the packets to a sandbox the wait for ARP, and a guest cannot take another's place by ARP. */
#include "kernel/neighbour.h"

#include "base/err.h"
#include "kernel/nl_object.h"

#include <linux/neighbour.h>
#include <netlink/route/neighbour.h>

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

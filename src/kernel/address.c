/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An address may be asked for twice: EEXIST from the kernel is the answer that it is in place. */
#include "kernel/address.h"

#include "base/err.h"
#include "kernel/nl_object.h"

#include <errno.h>
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

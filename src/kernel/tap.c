/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Attaching to a TAP raises its carrier, which is the sign of a VM, so each attach of ours is made with IFF_NO_CARRIER. And a TAP
 * belongs to one process at a time, so our descriptor is closed before the TAP is announced.
 *
 * The descriptor of /dev/net/tun remembers the namespace in which it was opened, so that one call alone is made inside.
 */
#include "kernel/tap.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/netns.h"
#include "base/spares.h"
#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>

#ifndef IFF_NO_CARRIER
#define IFF_NO_CARRIER 0x0040
#endif

static int kern_tap_open_device(int netns_fd, struct err *err)
{
	int fd, code;

	if (base_netns_enter(netns_fd, err) < 0)
		return -1;
	fd = SPARES_TRY(open("/dev/net/tun", O_RDWR | O_CLOEXEC));
	code = errno;
	base_netns_leave();
	return fd < 0 ? err_set(err, code, "/dev/net/tun") : fd;
}

int kern_tap_make(int netns_fd, const struct kern_tap_owner *owner, struct err *err)
{
	struct ifreq request = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_NO_CARRIER) };
	AUTO_FD int fd = kern_tap_open_device(netns_fd, err);

	if (fd < 0)
		return -1;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", TAP_NAME);
	base_thread_move(); /* it waits for the RTNL lock */
	if (ioctl(fd, TUNSETIFF, &request) < 0)
		return err_set(err, errno, "link %s", TAP_NAME);
	if (owner && (ioctl(fd, TUNSETOWNER, (unsigned long)owner->uid) < 0 ||
		      ioctl(fd, TUNSETGROUP, (unsigned long)owner->gid) < 0))
		return err_set(err, errno, "link %s: owner %u:%u", TAP_NAME, owner->uid, owner->gid);
	if (ioctl(fd, TUNSETPERSIST, 1UL) < 0)
		return err_set(err, errno, "link %s: persistence", TAP_NAME);
	return 0;
}

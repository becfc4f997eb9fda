/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel lists them in files of /proc, which show the namespace of the thread that opens them. A table is in its list as soon as
 * somebody has asked for it. Where the module is not loaded there is no file, and no such table.
 */
#include "kernel/legacy_tables.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/netns.h"
#include "base/spares.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
	const char *path, *program;
} lists[] = {
	{ "/proc/thread-self/net/ip_tables_names", "iptables" },
	{ "/proc/thread-self/net/ip6_tables_names", "ip6tables" },
	{ "/proc/thread-self/net/arp_tables_names", "arptables" },
};

/* In the namespace already. */
static int kern_legacy_tables_find_here(char *name, size_t size, struct err *err)
{
	char text[256];

	name[0] = '\0';
	for (size_t i = 0; !name[0] && i < sizeof(lists) / sizeof(lists[0]); i++) {
		AUTO_FD int fd = SPARES_TRY(open(lists[i].path, O_RDONLY | O_CLOEXEC));
		ssize_t got;

		if (fd < 0 && errno == ENOENT)
			continue;
		got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
		if (got < 0)
			return err_set(err, errno, "%s", lists[i].path);
		text[got] = '\0';
		text[strcspn(text, "\n")] = '\0';
		if (text[0])
			snprintf(name, size, "%s %s", lists[i].program, text);
	}
	return 0;
}

int kern_legacy_tables_find(int netns_fd, char *name, size_t size, struct err *err)
{
	int result;

	if (base_netns_enter(netns_fd, err) < 0)
		return -1;
	result = kern_legacy_tables_find_here(name, size, err);
	base_netns_leave();
	return result;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The functions of bpf.h in a build without libbpf: nothing can be opened. */
#include "kernel/bpf.h"

#ifndef HAVE_LIBBPF
#include "base/err.h"

#include <errno.h>
#include <stddef.h>

bool kern_loopback_is_built(void)
{
	return false;
}

struct kern_loopback *kern_loopback_open(const char *cgroup, const char *pins, struct err *err)
{
	(void)cgroup;
	(void)pins;
	err_set(err, ENOSYS, "weft was built without BPF");
	return NULL;
}

int kern_loopback_check(const struct kern_loopback *loopback, struct err *err)
{
	(void)loopback;
	return err_set(err, ENOSYS, "weft was built without BPF");
}

bool kern_loopback_has_ipv6(const struct kern_loopback *loopback, const char **why)
{
	(void)loopback;
	if (why)
		*why = "weft was built without BPF";
	return false;
}

int kern_loopback_put(struct kern_loopback *loopback, const struct kern_loopback_entry *entry, struct err *err)
{
	(void)loopback;
	(void)entry;
	return err_set(err, ENOSYS, "weft was built without BPF");
}

int kern_loopback_take(struct kern_loopback *loopback, const struct addr *listen, enum proto proto, uint64_t *hits,
		       struct err *err)
{
	(void)loopback;
	(void)listen;
	(void)proto;
	*hits = 0;
	return err_set(err, ENOSYS, "weft was built without BPF");
}

int kern_loopback_each(struct kern_loopback *loopback,
		       void (*found)(void *context, const struct kern_loopback_entry *entry), void *context,
		       struct err *err)
{
	(void)loopback;
	(void)found;
	(void)context;
	return err_set(err, ENOSYS, "weft was built without BPF");
}

int kern_loopback_renew(struct kern_loopback *loopback, uint64_t until_ns, struct err *err)
{
	(void)loopback;
	(void)until_ns;
	return err_set(err, ENOSYS, "weft was built without BPF");
}

int kern_loopback_origins(const struct kern_loopback *loopback)
{
	(void)loopback;
	return -1;
}

void kern_loopback_close(struct kern_loopback *loopback, bool keep_pins)
{
	(void)loopback;
	(void)keep_pins;
}
#endif

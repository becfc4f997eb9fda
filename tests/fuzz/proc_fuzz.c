/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as files of /proc. The first byte selects the reader: the search for the holder of a port, or weftctl doctor's
 * checks, where each file is the next piece of the input up to a NUL.
 */
#include "daemon/port_holder.h"
#include "fake_kernel.h"
#include "fuzz_config.h"
#include "health/doctor.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

struct pieces {
	const char *data;
	size_t size;
};

static struct config *config;

/* No process is visible: to search all of the machine's would take most of the time. */
DIR *opendir(const char *path)
{
	if (strcmp(path, "/proc") == 0)
		return NULL;
	return fdopendir(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static void find_holder(const uint8_t *data, size_t size, enum proto proto)
{
	struct addr addresses[2] = { { .in = { .sin_family = AF_INET, .sin_port = htons(49983) } },
				     { .in6 = { .sin6_family = AF_INET6, .sin6_port = htons(49983) } } };
	struct socket_holder holder;

	addresses[0].in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	addresses[1].in6.sin6_addr = in6addr_loopback;
	for (size_t i = 0; i < 2; i++) {
		fake_kernel_start(data, size);
		daemon_port_holder_find(&addresses[i], proto, &holder);
		fake_kernel_stop();
		fuzz_check(memchr(holder.text, '\0', sizeof(holder.text)) && holder.text[0]);
		fuzz_check(holder.found || !holder.listening);
	}
}

static char *read_piece(void *context, const char *path)
{
	struct pieces *pieces = context;
	const char *end = pieces->size ? memchr(pieces->data, '\0', pieces->size) : NULL;
	size_t length = end ? (size_t)(end - pieces->data) : pieces->size;
	char *text = fuzz_text((const uint8_t *)pieces->data, length);

	(void)path;
	pieces->data += end ? length + 1 : length;
	pieces->size -= end ? length + 1 : length;
	return text;
}

static int no_holder(void *context, uint64_t inode, char name[static 32])
{
	(void)context;
	(void)inode;
	(void)name;
	return 0;
}

static const char *no_environment(void *context, const char *name)
{
	(void)context;
	(void)name;
	return NULL;
}

static int bound(void *context, const struct addr *addr, char name[static 32], unsigned *uid)
{
	(void)context;
	(void)addr;
	snprintf(name, 32, "bind");
	*uid = 33;
	return 812;
}

static int try_bind(void *context, const struct addr *addr)
{
	const struct pieces *pieces = context;

	(void)addr;
	return pieces->size && pieces->data[0] & 1 ? EADDRINUSE : 0;
}

static void examine(const uint8_t *data, size_t size)
{
	struct pieces pieces = { (const char *)data, size };
	struct health_facts facts = { .config = config,
				      .socket = "/nowhere",
				      .read_text = read_piece,
				      .holder = no_holder,
				      .environment = no_environment,
				      .bound = bound,
				      .try_bind = try_bind,
				      .context = &pieces };
	struct health_report report = { 0 };

	health_doctor_examine(&facts, &report);
	fuzz_check(report.count);
	for (size_t i = 0; i < report.count; i++)
		fuzz_check(report.findings[i].check && report.findings[i].detail[0]);
	health_report_clear(&report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	config = fuzz_config();
	switch (data[0] % 3) {
	case 0:
		find_holder(data + 1, size - 1, PROTO_TCP);
		break;
	case 1:
		find_holder(data + 1, size - 1, PROTO_UDP);
		break;
	case 2:
		examine(data + 1, size - 1);
		break;
	}
	return 0;
}

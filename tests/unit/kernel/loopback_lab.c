/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/kernel/loopback_lab.h"

#include "base/netns.h"
#include "kernel/namespace.h"
#include "unit/nft_lab.h"

#include <arpa/inet.h>
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/weft-loopback-XXXXXX", cgroups[64], bpffs[64];
static int suite; /* its process: all tests of the machine share the hierarchy of cgroups */

static void lab_skip(const char *why)
{
	fprintf(stderr, "skipped: %s: %s\n", why, strerror(errno));
	rmdir(cgroups);
	rmdir(bpffs);
	rmdir(folder);
	exit(77);
}

void loopback_lab_begin(void)
{
	lab_require_root();
	suite = getpid();
	if (!mkdtemp(folder) || unshare(CLONE_NEWNS) < 0 || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		lab_skip("a mount namespace");
	snprintf(cgroups, sizeof(cgroups), "%s/cgroup", folder);
	snprintf(bpffs, sizeof(bpffs), "%s/bpf", folder);
	if (mkdir(cgroups, 0755) < 0 || mkdir(bpffs, 0755) < 0)
		lab_skip(folder);
	if (mount("none", cgroups, "cgroup2", 0, NULL) < 0)
		lab_skip("cgroup2");
	if (mount("none", bpffs, "bpf", 0, NULL) < 0) {
		umount(cgroups);
		lab_skip("bpffs");
	}
}

static void lab_name_cgroup(char name[static LAB_PATH], const char *what, int pid)
{
	snprintf(name, LAB_PATH, "%s/weft-lab-%d-%s-%d", cgroups, suite, what, pid);
}

void loopback_lab_end(void)
{
	const struct dirent *entry;
	DIR *left = opendir(cgroups);
	char path[LAB_PATH + 256], ours[32];
	int length = snprintf(ours, sizeof(ours), "weft-lab-%d-", suite);

	/* Those of tests that failed. */
	while (left && (entry = readdir(left))) {
		snprintf(path, sizeof(path), "%s/%s", cgroups, entry->d_name);
		if (strncmp(entry->d_name, ours, (size_t)length) == 0)
			rmdir(path);
	}
	if (left)
		closedir(left);
	umount(cgroups);
	umount(bpffs);
	rmdir(cgroups);
	rmdir(bpffs);
	rmdir(folder);
}

void loopback_lab_move(const char *cgroup)
{
	char path[LAB_PATH + 16];

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ck_assert_msg(fd >= 0 && write(fd, "0", 1) == 1, "%s: %s", path, strerror(errno));
	close(fd);
}

static int lab_listen(int netns_fd, const char *listen_text, int type)
{
	struct addr addr = loopback_lab_addr(listen_text);
	struct err err = { 0 };
	int fd = base_netns_socket(netns_fd, addr.any.sa_family, type | SOCK_CLOEXEC, 0, &err);
	int one = 1;

	ck_assert_msg(fd >= 0, "%s", err.text);
	if (addr.any.sa_family == AF_INET6)
		ck_assert_int_eq(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)), 0);
	ck_assert_msg(bind(fd, &addr.any, addr_length(&addr)) == 0, "%s: %s", listen_text, strerror(errno));
	if (type == SOCK_STREAM)
		ck_assert_int_eq(listen(fd, 64), 0);
	return fd;
}

static void lab_add_guest(struct loopback_lab *lab)
{
	lab->guest_netns = kern_namespace_make(&lab->err);
	ck_assert_msg(lab->guest_netns >= 0, "%s", lab->err.text);
	lab_run("ip link add veth-1 type veth peer name eth0 netns /proc/%d/fd/%d && ip link set veth-1 up && "
		"ip addr add 10.12.0.2/31 dev veth-1 && ip route add 10.11.0.0/16 via 10.12.0.3",
		getpid(), lab->guest_netns);
	ck_assert_int_eq(base_netns_enter(lab->guest_netns, &lab->err), 0);
	lab_run("ip link set lo up && ip link set eth0 up && ip addr add 10.12.0.3/31 dev eth0 && "
		"ip addr add 10.11.0.1/32 dev lo && ip addr add 10.11.0.2/32 dev lo");
	base_netns_leave();
}

struct loopback_lab loopback_lab_open(void)
{
	static const char *const places[] = { "10.11.0.1:7001", "127.0.0.1:7000", "[::1]:7000" };
	struct loopback_lab lab = { .guest_netns = -1 };
	struct lab net = lab_open();

	config_free(net.config);
	snprintf(lab.root_cgroup, sizeof(lab.root_cgroup), "%s", cgroups);
	lab_name_cgroup(lab.cgroup, "test", getpid());
	lab_name_cgroup(lab.other_cgroup, "other", getpid());
	snprintf(lab.pins, sizeof(lab.pins), "%s/weft/%d", bpffs, getpid());
	ck_assert(mkdir(lab.cgroup, 0755) == 0 && mkdir(lab.other_cgroup, 0755) == 0);
	loopback_lab_move(lab.cgroup);
	lab_add_guest(&lab);
	for (unsigned i = 0; i < 3; i++) {
		lab.tcp[i] = lab_listen(i == 0 ? lab.guest_netns : -1, places[i], SOCK_STREAM);
		lab.udp[i] = lab_listen(i == 0 ? lab.guest_netns : -1, places[i], SOCK_DGRAM);
	}
	return lab;
}

void loopback_lab_drop(const struct loopback_lab *lab, const char *ip)
{
	struct err err;

	ck_assert_int_eq(base_netns_enter(lab->guest_netns, &err), 0);
	lab_run("nft add table ip lossy && nft add chain ip lossy in '{ type filter hook prerouting priority 0; }' && "
		"nft add rule ip lossy in ip daddr %s drop",
		ip);
	base_netns_leave();
}

void loopback_lab_close(struct loopback_lab *lab)
{
	kern_loopback_close(lab->loopback, false);
	for (unsigned i = 0; i < 3; i++) {
		close(lab->tcp[i]);
		close(lab->udp[i]);
	}
	close(lab->guest_netns);
	loopback_lab_move(cgroups);
	ck_assert_msg(rmdir(lab->cgroup) == 0, "%s: %s", lab->cgroup, strerror(errno));
	ck_assert_int_eq(rmdir(lab->other_cgroup), 0);
}

void loopback_lab_start(struct loopback_lab *lab)
{
	lab->loopback = kern_loopback_open(lab->cgroup, lab->pins, &lab->err);
	ck_assert_msg(lab->loopback != NULL, "%s", lab->err.text);
	ck_assert_msg(kern_loopback_renew(lab->loopback, UINT64_MAX, &lab->err) == 0, "%s", lab->err.text);
}

void loopback_lab_put(struct loopback_lab *lab, const char *listen, enum proto proto)
{
	const struct kern_loopback_entry entry = { .listen = loopback_lab_addr(listen),
						   .proto = proto,
						   .host_ip = LAB_HOST_IP,
						   .guest_port = LAB_GUEST_PORT };

	ck_assert_msg(kern_loopback_put(lab->loopback, &entry, &lab->err) == 0, "%s", lab->err.text);
}

struct addr loopback_lab_addr(const char *text)
{
	struct addr addr;

	ck_assert_msg(addr_parse(text, &addr) == 0, "%s", text);
	return addr;
}

struct addr loopback_lab_mapped(const char *text)
{
	struct addr plain = loopback_lab_addr(text), mapped = addr_loopback6(addr_port(&plain));
	uint8_t *octets = mapped.in6.sin6_addr.s6_addr;

	memset(octets, 0, 16);
	octets[10] = octets[11] = 0xff;
	memcpy(octets + 12, &plain.in.sin_addr, 4);
	return mapped;
}

/* The first of FDS at which something waits; 3: nothing came. */
static unsigned lab_wait(const int fds[static 3])
{
	struct pollfd polls[3];

	for (unsigned i = 0; i < 3; i++)
		polls[i] = (struct pollfd){ .fd = fds[i], .events = POLLIN };
	if (poll(polls, 3, LAB_TIMEOUT_MS) <= 0)
		return 3;
	for (unsigned i = 0; i < 3; i++)
		if (polls[i].revents)
			return i;
	return 3;
}

static enum who lab_who(unsigned index)
{
	return index == 0 ? GUEST : index < 3 ? FORWARDER : NOBODY;
}

enum who loopback_lab_accept(const struct loopback_lab *lab, int *accepted)
{
	unsigned index = lab_wait(lab->tcp);

	if (index == 3)
		return NOBODY;
	int fd = accept4(lab->tcp[index], NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	if (accepted)
		*accepted = fd;
	else
		close(fd);
	return lab_who(index);
}

enum who loopback_lab_who_gets(const struct loopback_lab *lab)
{
	struct addr addr = loopback_lab_addr("127.0.0.1:7000");
	int fd = loopback_lab_socket(&addr, SOCK_STREAM);

	ck_assert_msg(connect(fd, &addr.any, addr_length(&addr)) == 0, "connect: %s", strerror(errno));
	enum who who = loopback_lab_accept(lab, NULL);
	close(fd);
	return who;
}

enum who loopback_lab_answer(const struct loopback_lab *lab)
{
	unsigned index = lab_wait(lab->udp);
	struct addr from;
	socklen_t length = sizeof(from);
	char bytes[64];

	if (index == 3)
		return NOBODY;
	ssize_t got = recvfrom(lab->udp[index], bytes, sizeof(bytes), 0, &from.any, &length);
	ck_assert_int_ge(got, 0);
	ck_assert_int_eq(sendto(lab->udp[index], bytes, (size_t)got, 0, &from.any, length), got);
	return lab_who(index);
}

int loopback_lab_socket(const struct addr *addr, int type)
{
	int fd = socket(addr->any.sa_family, type | SOCK_CLOEXEC, 0);
	const struct timeval patience = { .tv_sec = LAB_TIMEOUT_MS / 1000 };

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	return fd;
}

const char *loopback_lab_peer(int fd)
{
	static char text[ADDR_TEXT_SIZE];
	struct addr addr;
	socklen_t length = sizeof(addr);

	ck_assert_int_eq(getpeername(fd, &addr.any, &length), 0);
	return addr_format(&addr, text);
}

const char *loopback_lab_self(int fd)
{
	static char text[ADDR_TEXT_SIZE];
	struct addr addr;
	socklen_t length = sizeof(addr);

	ck_assert_int_eq(getsockname(fd, &addr.any, &length), 0);
	addr_format(&addr, text);
	*strrchr(text, ':') = '\0';
	return text;
}

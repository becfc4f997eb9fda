/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A namespace's name is a file on which its nsfs entry is mounted. Our file has the sticky bit from the moment it exists; the
 * mount hides the bit, and it shows again without the mount. After a kill between two of these steps, the bit distinguishes
 * our half-made names from those of `ip netns add`. (Only the link group of its veth's host end says whether a *bound*
 * namespace is ours.)
 *
 * The file is opened O_CREAT|O_EXCL and mounted on by its own /proc/self/fd name, so that nobody can put another in its place
 * between the two calls.
 */
#include "kernel/namespace.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/netns.h"
#include "base/spares.h"
#include "base/thread.h"
#include "kernel/sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/net_namespace.h>
#include <linux/nsfs.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { MOUNT_POINT_MODE = S_ISVTX };

/* Readable by all users, whatever our umask is, since any user may call `ip netns`. */
static int kern_namespace_make_directory(const char *path, struct err *err)
{
	if (mkdir(path, 0755) == 0)
		return chmod(path, 0755) < 0 ? err_set(err, errno, "directory %s", path) : 0;
	return errno == EEXIST ? 0 : err_set(err, errno, "directory %s", path);
}

static int kern_namespace_make_directories(const char *directory, struct err *err)
{
	char path[512];
	int length = snprintf(path, sizeof(path), "%s", directory);

	if (length <= 0 || (size_t)length >= sizeof(path))
		return err_set(err, ENAMETOOLONG, "%s", directory);
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (kern_namespace_make_directory(path, err) < 0)
			return -1;
		*slash = '/';
	}
	return kern_namespace_make_directory(path, err);
}

int kern_namespace_prepare_directory(const char *directory, struct err *err)
{
	if (kern_namespace_make_directories(directory, err) < 0)
		return -1;
	/* Mounts on it must show, and vanish, in every mount namespace that was copied from ours. */
	if (mount("", directory, "none", MS_SHARED | MS_REC, NULL) == 0)
		return 0;
	if (errno != EINVAL)
		return err_set(err, errno, "%s: shared propagation", directory);
	/* EINVAL: not a mount point yet. */
	if (mount(directory, directory, "none", MS_BIND | MS_REC, NULL) < 0)
		return err_set(err, errno, "%s: binding it on itself", directory);
	if (mount("", directory, "none", MS_SHARED | MS_REC, NULL) < 0) {
		int code = errno;

		umount2(directory, MNT_DETACH);
		return err_set(err, code, "%s: shared propagation", directory);
	}
	return 0;
}

/*
 * All dials to a guest share source and destination: without the first two settings a guest port is exhausted after 28,000
 * connections. The third bounds the size to which the forwarder's buffers here grow, ip-sysctl.rst.
 */
static const struct {
	const char *path, *value; /* as it reads */
} tunings[] = {
	{ "net/ipv4/tcp_tw_reuse", "1" },
	{ "net/ipv4/ip_local_port_range", "1024\t65535" },
	{ "net/ipv4/tcp_rmem", "4096\t131072\t4194304" },
};

enum { TUNINGS = sizeof(tunings) / sizeof(tunings[0]) };

static int kern_namespace_tune_here(struct err *err)
{
	for (size_t i = 0; i < TUNINGS; i++)
		if (kern_sysctl_write(tunings[i].path, tunings[i].value, err) < 0)
			return -1;
	return 0;
}

static int kern_namespace_look_here(bool *tuned, struct err *err)
{
	char value[64];

	*tuned = true;
	for (size_t i = 0; i < TUNINGS; i++) {
		if (kern_sysctl_read(tunings[i].path, value, sizeof(value), err) < 0)
			return -1;
		*tuned &= strcmp(value, tunings[i].value) == 0;
	}
	return 0;
}

int kern_namespace_is_tuned(int netns_fd, bool *tuned, struct err *err)
{
	int result;

	if (base_netns_enter(netns_fd, err) < 0)
		return -1;
	result = kern_namespace_look_here(tuned, err);
	base_netns_leave();
	return result;
}

int kern_namespace_tune(int netns_fd, struct err *err)
{
	int result;

	if (base_netns_enter(netns_fd, err) < 0)
		return -1;
	result = kern_namespace_tune_here(err);
	base_netns_leave();
	return result;
}

/* In a namespace that was just made. Its descriptor, or -1. */
static int kern_namespace_set_up_here(struct err *err)
{
	AUTO_FD int fd = SPARES_TRY(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));

	if (fd < 0)
		return err_set(err, errno, "/proc/thread-self/ns/net");
	/* A kernel without IPv6 has no such file, and nothing to turn off. */
	if (kern_sysctl_write("net/ipv6/conf/default/disable_ipv6", "1", err) < 0 && err->code != ENOENT)
		return -1;
	if (kern_namespace_tune_here(err) < 0)
		return -1;
	return steal_fd(&fd);
}

int kern_namespace_make(struct err *err)
{
	int fd;

	base_thread_move(); /* it waits while the kernel drops others */
	if (unshare(CLONE_NEWNET) < 0)
		return err_set(err, errno, "a new network namespace");
	fd = kern_namespace_set_up_here(err);
	base_netns_leave();
	return fd;
}

int kern_namespace_bind(const char *path, int netns_fd, struct err *err)
{
	char source[64], target[64];
	AUTO_FD int fd = SPARES_TRY(open(path, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, MOUNT_POINT_MODE));

	if (fd < 0)
		return err_set(err, errno, "namespace %s", path);
	snprintf(source, sizeof(source), "/proc/self/fd/%d", netns_fd);
	snprintf(target, sizeof(target), "/proc/self/fd/%d", fd);
	if (mount(source, target, "none", MS_BIND, NULL) < 0) {
		int code = errno;

		unlink(path);
		return err_set(err, code, "namespace %s: bind mount", path);
	}
	return 0;
}

int kern_namespace_unbind(const char *path, struct err *err)
{
	/* EINVAL: nothing is mounted there. */
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != ENOENT && errno != EINVAL)
		return err_set(err, errno, "namespace %s: unmounting", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return err_set(err, errno, "namespace %s: unlinking", path);
	return 0;
}

/* 1: it is a network namespace; 0: it is something else; -1 with errno: not known. */
static int kern_namespace_is_network(int fd)
{
	struct statfs fs;
	int type;

	if (fstatfs(fd, &fs) < 0)
		return -1;
	if (fs.f_type != NSFS_MAGIC)
		return 0;
	type = ioctl(fd, NS_GET_NSTYPE);
	return type < 0 ? -1 : type == CLONE_NEWNET;
}

/* A descriptor of what is at PATH; -1 with errno. */
static int kern_namespace_open_file(const char *path)
{
	return SPARES_TRY(open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
}

/* Whether a network namespace is bound at PATH, where a regular file was a moment ago: 1, 0; -1 with errno: not known. */
static int kern_namespace_is_bound(const char *path)
{
	AUTO_FD int fd = kern_namespace_open_file(path);

	if (fd >= 0)
		return kern_namespace_is_network(fd);
	/* A file that cannot be opened by anybody's fault but ours is no namespace: these can always be. */
	return errno == ENOENT || errno == ELOOP || errno == EACCES || errno == EPERM || errno == ENXIO ? 0 : -1;
}

int kern_namespace_file_kind(const char *path, enum kern_namespace_file *kind, struct err *err)
{
	struct stat stat;
	int bound;

	*kind = NAMESPACE_FILE_OTHER;
	if (lstat(path, &stat) < 0) {
		if (errno != ENOENT)
			return err_set(err, errno, "namespace %s", path);
		*kind = NAMESPACE_FILE_NONE;
		return 0;
	}
	if (!S_ISREG(stat.st_mode))
		return 0;
	bound = kern_namespace_is_bound(path);
	if (bound < 0)
		return err_set(err, errno, "namespace %s", path);
	if (bound)
		*kind = NAMESPACE_FILE_NAMESPACE;
	else if (stat.st_size == 0 && (stat.st_mode & 07777) == MOUNT_POINT_MODE)
		*kind = NAMESPACE_FILE_HALF_MADE;
	return 0;
}

int kern_namespace_open(const char *path, struct err *err)
{
	AUTO_FD int fd = kern_namespace_open_file(path);
	int network = fd < 0 ? -1 : kern_namespace_is_network(fd);

	if (network > 0)
		return steal_fd(&fd);
	return err_set(err, network < 0 ? errno : EINVAL, "namespace %s", path);
}

int kern_namespace_key_read(int fd, struct kern_namespace_key *key, struct err *err)
{
	struct stat stat;

	*key = (struct kern_namespace_key){ 0 };
	if (fstat(fd, &stat) < 0)
		return err_set(err, errno, "a network namespace");
	*key = (struct kern_namespace_key){ .device = stat.st_dev, .inode = stat.st_ino };
	return 0;
}

struct kern_namespace_key kern_namespace_key_of(int fd)
{
	struct kern_namespace_key key = { 0 };
	struct err ignored;

	if (fd >= 0 && kern_namespace_is_network(fd) > 0)
		kern_namespace_key_read(fd, &key, &ignored);
	return key;
}

bool kern_namespace_key_equal(const struct kern_namespace_key *a, const struct kern_namespace_key *b)
{
	return a->inode && a->inode == b->inode && a->device == b->device;
}

int kern_namespace_open_known(const char *path, const struct kern_namespace_key *key, struct err *err)
{
	AUTO_FD int fd = kern_namespace_open(path, err);
	struct kern_namespace_key found;

	if (fd < 0 || kern_namespace_key_read(fd, &found, err) < 0)
		return -1;
	if (!kern_namespace_key_equal(&found, key))
		return err_set(err, ESTALE, "namespace %s was replaced by another", path);
	return steal_fd(&fd);
}

static int kern_namespace_take_id(const struct nlmsghdr *header, void *context)
{
	int *nsid = context;
	const struct nlattr *table[NETNSA_MAX + 1];

	if (header->nlmsg_type != RTM_NEWNSID)
		return 0;
	kern_rtnl_attributes(header, sizeof(struct rtgenmsg), table, NETNSA_MAX + 1);
	if (table[NETNSA_NSID])
		*nsid = (int)nla_get_u32(table[NETNSA_NSID]);
	return 0;
}

int kern_namespace_known_id(struct kern_rtnl *host, int netns_fd, int *nsid, struct err *err)
{
	const struct rtgenmsg body = { 0 };
	struct nl_msg *message = kern_rtnl_message(RTM_GETNSID, 0, &body, sizeof(body));

	*nsid = NETNSA_NSID_NOT_ASSIGNED;
	message = kern_rtnl_put_u32(message, NETNSA_FD, (uint32_t)netns_fd);
	return kern_rtnl_ask(host, message, kern_namespace_take_id, nsid, err, "number of a namespace");
}

/* EEXIST: it has a number, or somebody else has this one. By hand, since libnl-route has no word for RTM_NEWNSID. */
static int kern_namespace_set_id(struct kern_rtnl *host, int netns_fd, int nsid, struct err *err)
{
	const struct rtgenmsg body = { 0 };
	struct nl_msg *message = kern_rtnl_message(RTM_NEWNSID, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof(body));

	message = kern_rtnl_put_u32(message, NETNSA_FD, (uint32_t)netns_fd);
	message = kern_rtnl_put_u32(message, NETNSA_NSID, (uint32_t)nsid);
	return kern_rtnl_send(host, message, err, "number of a namespace");
}

int kern_namespace_id(struct kern_rtnl *host, int netns_fd, int *nsid, struct err *err)
{
	if (kern_namespace_known_id(host, netns_fd, nsid, err) < 0)
		return -1;
	if (*nsid >= 0)
		return 0;
	if (kern_namespace_set_id(host, netns_fd, NETNSA_NSID_NOT_ASSIGNED, err) < 0 && err->code != EEXIST)
		return -1;
	if (kern_namespace_known_id(host, netns_fd, nsid, err) < 0)
		return -1;
	return *nsid < 0 ? err_set(err, ENOENT, "number of a namespace") : 0;
}

/*
 * To find a namespace's number for a message, the kernel walks all of them from the lowest on. A new namespace makes dozens of
 * messages, and an old one few: so each new one gets a number below all others.
 */
static atomic_int next_id = NAMESPACE_ID_MAX;

void kern_namespace_id_seen(int nsid)
{
	int next = atomic_load(&next_id);

	while (nsid > NAMESPACE_ID_MIN && nsid <= next && !atomic_compare_exchange_weak(&next_id, &next, nsid - 1))
		;
}

int kern_namespace_id_new(struct kern_rtnl *host, int netns_fd, int *nsid, struct err *err)
{
	enum { TRIES = 16 };

	for (int i = 0; i < TRIES; i++) {
		*nsid = atomic_fetch_sub(&next_id, 1);
		if (*nsid <= NAMESPACE_ID_MIN) {
			/* All were used. The first ones are free again by now, or else kern_namespace_id() finds a free one. */
			atomic_store(&next_id, NAMESPACE_ID_MAX);
			break;
		}
		if (kern_namespace_set_id(host, netns_fd, *nsid, err) == 0)
			return 0;
		if (err->code != EEXIST)
			return -1;
	}
	return kern_namespace_id(host, netns_fd, nsid, err);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program stays attached as long as its link has a pin. Once the pin is gone the kernel detaches the program some time later, so the link
 * is detached first, at once. None of this needs libbpf: a build without it can remove what another build has pinned.
 */
#include "kernel/bpf_pins.h"

#include "base/cleanup.h"
#include "base/err.h"
#include "base/folder.h"
#include "kernel/bpf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

char *kern_loopback_pins(uint32_t link_group, char path[static KERN_LOOPBACK_PATH_SIZE])
{
	snprintf(path, KERN_LOOPBACK_PATH_SIZE, "/sys/fs/bpf/weft/%u", link_group);
	return path;
}

/* ---- The cgroup ---- */

/* Undoes the kernel's \040 and the like, in place. */
static void kern_loopback_unescape(char *path)
{
	char *to = path;

	for (const char *from = path; *from; to++) {
		if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' &&
		    from[3] >= '0' && from[3] <= '7') {
			*to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

/* Another mount may lie over the one that mountinfo names, and then PATH leads there. */
static bool kern_loopback_is_cgroup(const char *path)
{
	struct statfs status;

	return statfs(path, &status) == 0 && status.f_type == CGROUP2_SUPER_MAGIC;
}

const char *kern_loopback_find_cgroup(char path[static KERN_LOOPBACK_PATH_SIZE])
{
	FILE *mounts = fopen("/proc/thread-self/mountinfo", "re");
	AUTO_FREE char *line = NULL;
	size_t size = 0;
	bool found = false;

	/* "ID PARENT DEVICE ROOT PLACE OPTIONS TAG... - TYPE ...". The mount of a part of the tree, whose ROOT is not /, is the second choice. */
	while (mounts && getline(&line, &size, mounts) > 0) {
		char root[KERN_LOOPBACK_PATH_SIZE], place[KERN_LOOPBACK_PATH_SIZE];

		if (!strstr(line, " - cgroup2 ") || sscanf(line, "%*s %*s %*s %4095s %4095s", root, place) != 2)
			continue;
		kern_loopback_unescape(place);
		if ((found && strcmp(root, "/") != 0) || !kern_loopback_is_cgroup(place))
			continue;
		memcpy(path, place, sizeof(place));
		found = true;
		if (strcmp(root, "/") == 0)
			break;
	}
	if (mounts)
		fclose(mounts);
	return found ? path : NULL;
}

/* ---- Pins ---- */

/* ENOENT's own words would say that PATH is missing. */
static int kern_pins_refuse_place(const char *path, struct err *err)
{
	err_set(err, 0, "%s is not in a bpf file system (mount -t bpf bpf /sys/fs/bpf)", path);
	err->code = ENOENT;
	return -1;
}

/* Whether PATH, or the closest folder above it that exists, is in a bpffs: 0, or -1 with ERR. */
static int kern_pins_check_place(const char *path, struct err *err)
{
	AUTO_FREE char *above = NULL;
	struct statfs status;

	if (statfs(path, &status) == 0) {
		return status.f_type == BPF_FS_MAGIC ? 0 : kern_pins_refuse_place(path, err);
	}
	if (errno != ENOENT)
		return err_set(err, errno, "%s", path);
	above = base_folder_above(path);
	if (!above)
		return err_set(err, ENOMEM, "%s", path);
	if (strcmp(above, path) == 0)
		return err_set(err, ENOENT, "%s", path);
	return kern_pins_check_place(above, err);
}

static int kern_pins_make(const char *pins, struct err *err)
{
	if (kern_pins_check_place(pins, err) < 0 || base_folder_make_parents(pins, err) < 0)
		return -1;
	if (mkdir(pins, 0700) < 0 && errno != EEXIST)
		return err_set(err, errno, "%s", pins);
	return 0;
}

int kern_pins_open(const char *pins, bool make, struct err *err)
{
	struct statfs status;
	AUTO_FD int fd = -1;

	if (make && kern_pins_make(pins, err) < 0)
		return -1;
	fd = open(pins, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstatfs(fd, &status) < 0)
		return err_set(err, errno, "%s", pins);
	/* All files of the folder may be deleted, so it must not be an ordinary one. */
	if (status.f_type != BPF_FS_MAGIC)
		return kern_pins_refuse_place(pins, err);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? err_set(err, EBUSY, "another process has %s open", pins)
					    : err_set(err, errno, "%s", pins);
	return steal_fd(&fd);
}

static bool kern_pins_is_kept(const char *name, const char *const *keep, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (strcmp(name, keep[i]) == 0)
			return true;
	return false;
}

/* The program is detached when this returns. A map, or a link that the kernel refuses to detach, goes with its pin. */
static void kern_pins_detach(const char *pins, const char *name)
{
	char path[KERN_LOOPBACK_PATH_SIZE];
	union bpf_attr attr;

	if (snprintf(path, sizeof(path), "%s/%s", pins, name) >= (int)sizeof(path))
		return;
	memset(&attr, 0, sizeof(attr));
	attr.pathname = (uint64_t)(uintptr_t)path;
	AUTO_FD int fd = (int)syscall(SYS_bpf, BPF_OBJ_GET, &attr, sizeof(attr));
	if (fd < 0)
		return;
	memset(&attr, 0, sizeof(attr));
	attr.link_detach.link_fd = (uint32_t)fd;
	(void)syscall(SYS_bpf, BPF_LINK_DETACH, &attr, sizeof(attr));
}

static int kern_pins_remove(int fd, const char *pins, const char *name, struct err *err)
{
	kern_pins_detach(pins, name);
	if (unlinkat(fd, name, 0) < 0 && errno != ENOENT)
		return err_set(err, errno, "%s/%s", pins, name);
	return 0;
}

/* Reads the folder by its own descriptor, as there may be no other one to be had. */
int kern_pins_sweep(int fd, const char *pins, const char *const *keep, unsigned count, bool *removed, struct err *err)
{
	char buffer[4096] __attribute__((aligned(8)));
	ssize_t size = lseek(fd, 0, SEEK_SET) < 0 ? -1 : getdents64(fd, buffer, sizeof(buffer));

	for (; size > 0; size = getdents64(fd, buffer, sizeof(buffer))) {
		const struct dirent64 *entry;

		for (ssize_t at = 0; at < size; at += entry->d_reclen) {
			entry = (const struct dirent64 *)(buffer + at);
			if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
			    kern_pins_is_kept(entry->d_name, keep, count))
				continue;
			if (kern_pins_remove(fd, pins, entry->d_name, err) < 0)
				return -1;
			if (removed)
				*removed = true;
		}
	}
	return size < 0 ? err_set(err, errno, "%s", pins) : 0;
}

int kern_pins_remove_folder(const char *pins, struct err *err)
{
	AUTO_FREE char *above = base_folder_above(pins);

	if (rmdir(pins) < 0 && errno != ENOENT)
		return err_set(err, errno, "%s", pins);
	/* It stays where another daemon has pins beside ours, or it is the mount itself. */
	if (above)
		(void)rmdir(above);
	return 0;
}

int kern_loopback_remove(const char *pins, bool *found, struct err *err)
{
	AUTO_FD int fd = kern_pins_open(pins, false, err);

	*found = false;
	if (fd < 0)
		return err->code == ENOENT || err->code == ENOTDIR ? 0 : -1;
	if (kern_pins_sweep(fd, pins, NULL, 0, found, err) < 0)
		return -1;
	return kern_pins_remove_folder(pins, err);
}

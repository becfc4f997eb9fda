/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * weftctl exec: `ip netns exec` by the sandbox's name. The command gets the network namespace, a /sys that shows its devices, and
 * the files of /etc/netns/NAME over those of /etc, all in a mount namespace of its own. There is no fork. The command replaces
 * this process, so its exit code, its signals and its terminal are its own.
 */
#include "base/cleanup.h"
#include "base/err.h"
#include "cli/call.h"
#include "cli/commands.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Mounts a sysfs of the network namespace, because the old /sys/class/net shows the host's devices. Read-only where that was. */
static int command_exec_mount_sys(const char *netns, struct err *err)
{
	struct statvfs old;
	unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;

	if (statvfs("/sys", &old) == 0 && (old.f_flag & ST_RDONLY))
		flags |= MS_RDONLY;
	/* Mounts below it (cgroups, debugfs) disappear too, as with `ip netns exec`. */
	if (umount2("/sys", MNT_DETACH) < 0 && errno != EINVAL)
		return err_set(err, errno, "unmounting the host's /sys");
	if (mount(netns, "/sys", "sysfs", flags, NULL) < 0)
		return err_set(err, errno, "mounting /sys");
	return 0;
}

/* Bind-mounts the files of /etc/netns/NAME over their namesakes in /etc. Does nothing without such a directory. */
static int command_exec_bind_etc(const char *netns, struct err *err)
{
	AUTO_FREE char *dir_path = NULL;
	int result = 0;

	if (asprintf(&dir_path, "/etc/netns/%s", netns) < 0)
		abort();
	DIR *dir = opendir(dir_path);
	if (!dir)
		return errno == ENOENT ? 0 : err_set(err, errno, "%s", dir_path);
	for (struct dirent *entry; result == 0 && (entry = readdir(dir));) {
		AUTO_FREE char *from = NULL;
		AUTO_FREE char *to = NULL;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (asprintf(&from, "%s/%s", dir_path, entry->d_name) < 0 ||
		    asprintf(&to, "/etc/%s", entry->d_name) < 0)
			abort();
		/* A file without a namesake in /etc is skipped. */
		if (mount(from, to, "none", MS_BIND, NULL) < 0 && errno != ENOENT)
			result = err_set(err, errno, "putting %s over %s", from, to);
	}
	closedir(dir);
	return result;
}

static int command_exec_enter(const char *netns, const char *netns_path, struct err *err)
{
	AUTO_FD int fd = open(netns_path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_set(err, errno, "%s", netns_path);
	if (setns(fd, CLONE_NEWNET) < 0)
		return err_set(err, errno, "entering %s", netns_path);
	if (unshare(CLONE_NEWNS) < 0)
		return err_set(err, errno, "a mount namespace");
	/* Slave, so that the host's later mounts appear here and ours stay here. */
	if (mount("none", "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return err_set(err, errno, "making the mounts private");
	if (command_exec_mount_sys(netns, err) < 0)
		return -1;
	return command_exec_bind_etc(netns, err);
}

int command_exec(const struct cli *cli)
{
	const char *id = cli_sandbox_id(cli);
	char **command = cli->args->operands + 1;
	json_t *sandbox = NULL;
	struct err err;

	if (!id || cli_get(cli, &sandbox, "/v1/sandboxes/%s", id) != CLI_DONE)
		return CLI_EXEC_FAILED;
	int entered = command_exec_enter(client_text(sandbox, "netns"), client_text(sandbox, "netns_path"), &err);
	json_decref(sandbox);
	if (entered < 0)
		return cli_fail(cli, CLI_EXEC_FAILED, "%s%s", err.text,
				err.code == EPERM || err.code == EACCES ? "\nEntering a namespace takes root: use sudo."
									: "");
	execvp(command[0], command);
	int code = errno == ENOENT ? CLI_EXEC_NOT_FOUND : CLI_EXEC_NOT_RUN;
	return cli_fail(cli, code, "%s: %s", command[0], strerror(errno));
}

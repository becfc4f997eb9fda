/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A namespace is bound under /run/netns. Other programs see that mount only if its parent is shared and if we are not in a copy
 * of the host's mounts. A weftd in a container has mounts of its own: there it needs the host's directory as one of the same group of
 * peers, which is told by its number.
 */
#include "base/cleanup.h"
#include "config/config.h"
#include "health/doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The length of MOUNT if PATH lies on it, else 0. */
static size_t check_mount_covers(const char *mount, const char *path)
{
	size_t length = strlen(mount);

	if (strcmp(mount, "/") == 0)
		return 1;
	return strncmp(mount, path, length) == 0 && (path[length] == '/' || !path[length]) ? length : 0;
}

/*
 * Finds the mount of PATH in /proc/self/mountinfo ("ID PARENT DEV ROOT MOUNTPOINT OPTIONS TAG... - TYPE ..."). TAGS gets its tags
 * ("shared:1 master:2").
 */
static bool check_mount_find(char *mountinfo, const char *path, char mount[static 256], char tags[static 128])
{
	size_t best = 0;
	char *rest = mountinfo;

	for (char *line; (line = strsep(&rest, "\n"));) {
		char point[256];
		int end = 0;
		if (sscanf(line, "%*d %*d %*s %*s %255s %*s%n", point, &end) != 1 || !end)
			continue;
		size_t length = check_mount_covers(point, path);
		char *separator = strstr(line + end, " - ");
		/* The last of two on one place is on top. */
		if (!length || length < best || !separator)
			continue;
		best = length;
		snprintf(mount, 256, "%s", point);
		snprintf(tags, 128, "%.*s", (int)(separator - (line + end)), line + end);
	}
	return best > 0;
}

/* The same for PROCESS, a number or "self". */
static bool check_mount_find_for(const struct health_facts *facts, const char *process, char mount[static 256],
				 char tags[static 128])
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%s/mountinfo", process);
	AUTO_FREE char *mountinfo = facts->read_text(facts->context, path);
	return mountinfo && check_mount_find(mountinfo, facts->config->layout.netns_dir, mount, tags);
}

/* The number of the group of peers, 0 if there is none. */
static long check_mount_group(const char *tags)
{
	const char *found = strstr(tags, "shared:");

	return found ? strtol(found + strlen("shared:"), NULL, 10) : 0;
}

/* Of the running daemon, if it is in a container and we are outside. OURS: tags of our mount. Whether it reported something. */
static bool check_mounts_of_daemon(const struct health_facts *facts, const char *ours, struct health_report *report)
{
	int daemon = health_daemon(facts);
	const char *dir = facts->config->layout.netns_dir;
	char number[16], mount[256], theirs[128];

	snprintf(number, sizeof(number), "%d", daemon);
	if (daemon <= 0 || !check_mount_find_for(facts, number, mount, theirs) ||
	    check_mount_group(theirs) == check_mount_group(ours))
		return false;
	struct health_finding *finding =
	    health_add(report, "mounts", HEALTH_WARN, "weftd, process %d, has a %s of its own", daemon, dir);
	health_why(finding, "namespaces that it binds there are not seen from here: no VM manager can enter them");
	health_fix(finding, "give its container the host's directory with shared propagation: --volume %s:%s:rshared",
		   dir, dir);
	return true;
}

void check_mounts(const struct health_facts *facts, struct health_report *report)
{
	const char *dir = facts->config->layout.netns_dir;
	char mount[256], tags[128];
	struct health_finding *finding;

	if (!check_mount_find_for(facts, "self", mount, tags)) {
		health_add(report, "mounts", HEALTH_SKIPPED, "the mount of %s is not visible from here", dir);
		return;
	}
	if (strstr(tags, "shared:") && !strstr(tags, "master:")) {
		if (!check_mounts_of_daemon(facts, tags, report))
			health_add(report, "mounts", HEALTH_OK, "%s is on %s, which is shared", dir, mount);
		return;
	}
	if (strstr(tags, "master:")) {
		finding = health_add(report, "mounts", HEALTH_WARN, "%s is on %s, a slave of another mount namespace",
				     dir, mount);
		health_why(finding,
			   "namespaces bound from here are not visible outside; a weftd started like this hides "
			   "its sandboxes from the VM manager");
		health_fix(finding,
			   "start weftd in the host's mount namespace: no ProtectSystem=, PrivateTmp= and the like");
		return;
	}
	finding = health_add(report, "mounts", HEALTH_WARN, "%s is on %s, which is private", dir, mount);
	health_why(finding, "services with a mount namespace of their own do not see namespaces that are bound later");
	health_fix(finding, "mount --make-shared %s", mount);
}

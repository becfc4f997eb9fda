/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A namespace is bound under /run/netns. Other programs see that mount only if its parent is shared and if we are not in a copy
 * of the host's mounts.
 */
#include "base/cleanup.h"
#include "config/config.h"
#include "health/doctor.h"

#include <stdio.h>
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

void check_mounts(const struct health_facts *facts, struct health_report *report)
{
	AUTO_FREE char *mountinfo = facts->read_text(facts->context, "/proc/self/mountinfo");
	const char *dir = facts->config->layout.netns_dir;
	char mount[256], tags[128];
	struct health_finding *finding;

	if (!mountinfo || !check_mount_find(mountinfo, dir, mount, tags)) {
		health_add(report, "mounts", HEALTH_SKIPPED, "the mount of %s is not visible from here", dir);
		return;
	}
	if (strstr(tags, "shared:") && !strstr(tags, "master:")) {
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

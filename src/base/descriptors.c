/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel tells a process its limit, but up to 6.1 not the number of its descriptors, except by a list of all. The list makes an
 * entry of /proc for each, and these are taken apart at the end of the process, while a restart waits.
 */
#include "base/descriptors.h"

#include <dirent.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>

size_t base_descriptors_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT32_MAX)
		return INT32_MAX;
	return limit.rlim_cur;
}

static size_t base_descriptors_list(void)
{
	DIR *directory = opendir("/proc/self/fd");
	const struct dirent *entry;
	size_t count = 0;

	if (!directory)
		return 0;
	while ((entry = readdir(directory)))
		count += entry->d_name[0] != '.';
	closedir(directory);
	return count - 1; /* the directory's own */
}

size_t base_descriptors_count(void)
{
	struct stat status;

	if (stat("/proc/self/fd", &status) == 0 && status.st_size > 0)
		return (size_t)status.st_size;
	return base_descriptors_list();
}

size_t base_descriptors_reserve(size_t limit)
{
	if (limit < DESCRIPTORS_FEW)
		return 0;
	return limit / 4 < DESCRIPTORS_RESERVE ? limit / 4 : DESCRIPTORS_RESERVE;
}

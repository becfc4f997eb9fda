/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit/health/doctor_fixture.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FILES_MAX = 12 };

struct made_file files[FILES_MAX];
struct config *config;
struct health_facts facts;
struct health_report report;
const char *http_proxy;
int bound_pid;

static size_t file_count;
static struct {
	const char *address;
	int error;
} trial;

static char *read_text(void *context, const char *path)
{
	(void)context;
	for (size_t i = 0; i < file_count; i++)
		if (strcmp(files[i].path, path) == 0)
			return strdup(files[i].text);
	return NULL;
}

static int holder(void *context, uint64_t inode, char name[static 32])
{
	(void)context;
	snprintf(name, 32, "%s", inode == 7 ? "weftd" : inode == 8 ? "nginx" : "?");
	return inode == 7 ? 70 : inode == 8 ? 80 : 0;
}

static const char *environment(void *context, const char *name)
{
	(void)context;
	return strcmp(name, "HTTP_PROXY") == 0 ? http_proxy : NULL;
}

static int bound(void *context, const struct addr *addr, char name[static 32], unsigned *uid)
{
	(void)context;
	(void)addr;
	snprintf(name, 32, "bind");
	*uid = 33;
	return bound_pid;
}

static int try_bind(void *context, const struct addr *addr)
{
	char text[ADDR_TEXT_SIZE];

	(void)context;
	return !trial.address || strcmp(addr_format(addr, text), trial.address) == 0 ? trial.error : 0;
}

void doctor_setup(void)
{
	forget_files();
	http_proxy = NULL;
	bound_pid = 0;
	trial_fails(NULL, 0);
	config = config_default();
	facts = (struct health_facts){ .config = config,
				       .socket = "/run/weft/control.sock",
				       .read_text = read_text,
				       .holder = holder,
				       .environment = environment,
				       .bound = bound,
				       .try_bind = try_bind,
				       .state_directory = { .path = "/run/weft/state", .mode = S_IFDIR | 0700 } };
	const struct health_layout layout = health_layout_of_config(config);
	health_note_layout(&facts, &layout);
}

void doctor_teardown(void)
{
	health_report_clear(&report);
	health_facts_clear(&facts);
	config_free(config);
}

void file(const char *path, const char *text)
{
	ck_assert_uint_lt(file_count, FILES_MAX);
	files[file_count++] = (struct made_file){ path, text };
}

void forget_files(void)
{
	file_count = 0;
}

void daemon_runs(void)
{
	file("/proc/net/unix", "Num       RefCount Protocol Flags    Type St Inode Path\n"
			       "0000000000000000: 00000002 00000000 00010000 0001 01 5 /run/other\n"
			       "0000000000000000: 00000003 00000000 00000000 0001 03 6 /run/weft/control.sock\n"
			       "0000000000000000: 00000002 00000000 00010000 0001 01 7 /run/weft/control.sock\n");
}

void trial_fails(const char *address, int error)
{
	trial.address = address;
	trial.error = error;
}

const struct health_finding *found(void (*check)(const struct health_facts *facts, struct health_report *report),
				   enum health_status status, const char *words)
{
	health_report_clear(&report);
	check(&facts, &report);
	ck_assert_uint_eq(report.count, 1);
	const struct health_finding *finding = &report.findings[0];
	ck_assert_msg(finding->status == status && strstr(finding->detail, words), "%s: %s",
		      health_status_name(finding->status), finding->detail);
	if (status == HEALTH_WARN || status == HEALTH_FAIL)
		ck_assert_msg(finding->why[0] && finding->fix[0], "%s", finding->detail);
	return finding;
}

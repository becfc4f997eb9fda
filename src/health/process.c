/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state letter of /proc/PID/status tells most. A process whose control group is frozen has the letter of one that sleeps, so the
 * group is asked too: `systemctl freeze` and `docker pause` leave no other trace.
 */
#include "health/process.h"

#include "base/cleanup.h"
#include "health/facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROCESS_PATH_SIZE = 600 };

struct process_look {
	char *(*read_text)(void *context, const char *path);
	void *context;
	int pid;
};

static char *health_process_read(const struct process_look *look, const char *file)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", look->pid, file);
	return look->read_text(look->context, path);
}

/* The value of NAME ("State") in the text of /proc/PID/status; NULL: it has none. */
static const char *health_process_field(const char *status, const char *name)
{
	size_t length = strlen(name);

	for (const char *line = status; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (strncmp(line, name, length) == 0 && line[length] == ':')
			return line + length + 1 + strspn(line + length + 1, " \t");
	return NULL;
}

/* The path of the control group in a line "0::/PATH", or "7:freezer:/PATH" of version 1, in the text of /proc/PID/cgroup. */
static bool health_process_group(const char *groups, const char *controllers, char path[static PROCESS_PATH_SIZE])
{
	for (const char *line = groups; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		const char *list = strchr(line, ':');
		const char *group = list ? strchr(list + 1, ':') : NULL;
		size_t length = group ? (size_t)(group - list - 1) : 0;
		if (!group || length != strlen(controllers) || strncmp(list + 1, controllers, length) != 0)
			continue;
		snprintf(path, PROCESS_PATH_SIZE, "%.*s", (int)strcspn(group + 1, "\n"), group + 1);
		return true;
	}
	return false;
}

/* Whether the control group of the process is frozen; *THAW: the file that thaws it, with the value to write. */
static bool health_process_is_frozen(const struct process_look *look, char thaw[static PROCESS_PATH_SIZE])
{
	AUTO_FREE char *groups = health_process_read(look, "cgroup");
	char group[PROCESS_PATH_SIZE], path[PROCESS_PATH_SIZE + 64];

	if (groups && health_process_group(groups, "", group)) {
		snprintf(path, sizeof(path), "/sys/fs/cgroup%s/cgroup.events", group);
		AUTO_FREE char *events = look->read_text(look->context, path);
		snprintf(thaw, PROCESS_PATH_SIZE, "echo 0 > /sys/fs/cgroup%.500s/cgroup.freeze", group);
		if (events && strstr(events, "frozen 1"))
			return true;
	}
	if (groups && health_process_group(groups, "freezer", group)) {
		snprintf(path, sizeof(path), "/sys/fs/cgroup/freezer%s/freezer.state", group);
		AUTO_FREE char *state = look->read_text(look->context, path);
		snprintf(thaw, PROCESS_PATH_SIZE, "echo THAWED > /sys/fs/cgroup/freezer%.480s/freezer.state", group);
		if (state && strncmp(state, "FROZEN", strlen("FROZEN")) == 0)
			return true;
	}
	return false;
}

static void health_process_tell_traced(const struct process_look *look, const char *status,
				       struct health_process *process)
{
	const char *tracer = health_process_field(status, "TracerPid");
	int pid = tracer ? atoi(tracer) : 0;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	AUTO_FREE char *name = pid ? look->read_text(look->context, path) : NULL;
	process->held = true;
	snprintf(process->state, sizeof(process->state), "a debugger has stopped it (state t): process %d (%.*s)", pid,
		 name ? (int)strcspn(name, "\n") : 1, name ? name : "?");
	snprintf(process->fix, sizeof(process->fix), "let it go on in the debugger, or end that: kill %d", pid);
}

static void health_process_tell_waiting(const struct process_look *look, struct health_process *process)
{
	AUTO_FREE char *where = health_process_read(look, "wchan");
	bool known = where && *where && strcmp(where, "0") != 0;

	snprintf(process->state, sizeof(process->state), "it waits in the kernel%s%.60s (state D)",
		 known ? ", in " : "", known ? where : "");
	snprintf(process->fix, sizeof(process->fix),
		 "look what it waits for: cat /proc/%d/stack, and dmesg for hung tasks, disks and memory; no signal "
		 "ends it until then",
		 look->pid);
}

void health_process_look(char *(*read_text)(void *context, const char *path), void *context, int pid,
			 struct health_process *process)
{
	const struct process_look look = { read_text, context, pid };
	AUTO_FREE char *status = health_process_read(&look, "status");
	const char *state = status ? health_process_field(status, "State") : NULL;
	char thaw[PROCESS_PATH_SIZE];

	*process = (struct health_process){ 0 };
	if (!state)
		return;
	if (health_process_is_frozen(&look, thaw)) {
		process->held = true;
		snprintf(process->state, sizeof(process->state), "its control group is frozen (state %c)", *state);
		snprintf(process->fix, sizeof(process->fix), "systemctl thaw weftd, or %.250s", thaw);
	} else if (*state == 'T') {
		process->held = true;
		snprintf(process->state, sizeof(process->state), "a signal has stopped it (state T)");
		snprintf(process->fix, sizeof(process->fix), "kill -CONT %d", pid);
	} else if (*state == 't') {
		health_process_tell_traced(&look, status, process);
	} else if (*state == 'D') {
		health_process_tell_waiting(&look, process);
	} else if (*state == 'Z' || *state == 'X') {
		snprintf(process->state, sizeof(process->state), "it has ended (state %c)", *state);
	} else {
		snprintf(process->state, sizeof(process->state), "its state is %.*s", (int)strcspn(state, "\n"), state);
	}
}

void health_process_look_here(int pid, struct health_process *process)
{
	health_process_look(health_read_file, NULL, pid, process);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef WEFT_HEALTH_PROCESS_H
#define WEFT_HEALTH_PROCESS_H

#include <stdbool.h>

/*
 * Why a process does not answer, as far as the kernel shows: stopped, frozen with its control group, or busy in the kernel. Any thread.
 */
struct health_process {
	char state[200]; /* "a signal has stopped it (state T)"; "": nothing is visible */
	char fix[300];   /* the command that ends that; "": there is none */
	bool held;       /* something outside the process keeps it from running, and no restart is needed */
};

/*
 * Looks at process PID. READ_TEXT is that of struct health_facts, called with CONTEXT. It returns the text of a file, the caller's to
 * free, or NULL.
 */
void health_process_look(char *(*read_text)(void *context, const char *path), void *context, int pid,
			 struct health_process *process);

/* The same, by the files of this host. */
void health_process_look_here(int pid, struct health_process *process);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The linker sends each call of the functions below here (--wrap). */
#include "unit/faults.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static const int all_codes[] = { EMFILE, ENFILE, ENOMEM, ENOBUFS, EAGAIN, EBUSY, EPROTO, EINTR, ENODEV, ENETUNREACH };
enum { CODES = sizeof(all_codes) / sizeof(all_codes[0]) };

enum fault_kind { FAULT_NONE, FAULT_CALL, FAULT_MEMORY };

static _Atomic enum fault_kind armed;
static atomic_uint left, reached;
static atomic_int fault_code;
static atomic_bool fails_on; /* all later ones, too */
static const char *_Atomic last = "none";

const int *faults_codes_for(unsigned number)
{
	static int codes[CODES + 1];

	memset(codes, 0, sizeof(codes));
	if (getenv("WEFT_LONG"))
		memcpy(codes, all_codes, sizeof(all_codes));
	else
		codes[0] = all_codes[number % CODES];
	return codes;
}

static void faults_arm(enum fault_kind kind, unsigned number, int code, bool from_then_on)
{
	fault_code = code;
	fails_on = from_then_on;
	reached = 0;
	left = number;
	armed = kind;
}

void faults_arm_calls(unsigned number, int code)
{
	faults_arm(FAULT_CALL, number, code, false);
}

void faults_arm_memory(unsigned number, bool from_then_on)
{
	faults_arm(FAULT_MEMORY, number, ENOMEM, from_then_on);
}

bool faults_disarm(void)
{
	armed = FAULT_NONE;
	return reached != 0;
}

const char *faults_last(void)
{
	return last;
}

/* Whether the call that is being made, to the function NAME, is to fail. */
static bool faults_hit(enum fault_kind kind, const char *name)
{
	const unsigned lowest = fails_on ? 1 : 0;
	unsigned before;

	if (armed != kind)
		return false;
	before = left;
	while (before > lowest && !atomic_compare_exchange_weak(&left, &before, before - 1))
		;
	if (before != 1)
		return false;
	reached = 1;
	last = name;
	errno = fault_code;
	return true;
}

/* A function of fixed arguments, which fails with FAILURE. */
#define WRAP(result, name, failure, parameters, arguments)                                                             \
	result __real_##name parameters;                                                                               \
	result __wrap_##name parameters;                                                                               \
	result __wrap_##name parameters                                                                                \
	{                                                                                                              \
		return faults_hit(FAULT_CALL, #name) ? (failure) : __real_##name arguments;                            \
	}

WRAP(int, socket, -1, (int domain, int type, int protocol), (domain, type, protocol))
WRAP(int, bind, -1, (int fd, const struct sockaddr *address, socklen_t length), (fd, address, length))
WRAP(int, getsockname, -1, (int fd, struct sockaddr *address, socklen_t *length), (fd, address, length))
WRAP(int, setsockopt, -1, (int fd, int level, int name, const void *value, socklen_t length),
     (fd, level, name, value, length))
WRAP(ssize_t, sendto, -1,
     (int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length),
     (fd, data, size, flags, to, length))
WRAP(ssize_t, recv, -1, (int fd, void *data, size_t size, int flags), (fd, data, size, flags))
WRAP(int, setns, -1, (int fd, int type), (fd, type))
WRAP(int, unshare, -1, (int flags), (flags))
WRAP(int, mount, -1, (const char *source, const char *target, const char *type, unsigned long flags, const void *data),
     (source, target, type, flags, data))
WRAP(int, umount2, -1, (const char *target, int flags), (target, flags))
WRAP(int, unlink, -1, (const char *path), (path))
WRAP(int, fstat, -1, (int fd, struct stat *status), (fd, status))
WRAP(int, lstat, -1, (const char *path, struct stat *status), (path, status))
WRAP(int, stat, -1, (const char *path, struct stat *status), (path, status))
WRAP(int, fstatfs, -1, (int fd, struct statfs *status), (fd, status))
WRAP(int, fsopen, -1, (const char *type, unsigned flags), (type, flags))
WRAP(int, fsconfig, -1, (int fd, unsigned command, const char *key, const void *value, int aux),
     (fd, command, key, value, aux))
WRAP(int, fsmount, -1, (int fd, unsigned flags, unsigned attributes), (fd, flags, attributes))
WRAP(DIR *, opendir, NULL, (const char *path), (path))

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = va_arg(args, mode_t);
	va_end(args);
	return faults_hit(FAULT_CALL, "open") ? -1 : __real_open(path, flags, mode);
}

int __real_openat(int directory, const char *path, int flags, ...);
int __wrap_openat(int directory, const char *path, int flags, ...);
int __wrap_openat(int directory, const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = va_arg(args, mode_t);
	va_end(args);
	return faults_hit(FAULT_CALL, "openat") ? -1 : __real_openat(directory, path, flags, mode);
}

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *value;

	va_start(args, request);
	value = va_arg(args, void *);
	va_end(args);
	return faults_hit(FAULT_CALL, "ioctl") ? -1 : __real_ioctl(fd, request, value);
}

/* A mailbox's wake-up has no failure. */
static bool faults_is_wake_up(int fd)
{
	char path[64], target[64];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	length = readlink(path, target, sizeof(target));
	return length > 0 && memmem(target, (size_t)length, "eventfd", 7);
}

ssize_t __real_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size)
{
	if (armed == FAULT_CALL && !faults_is_wake_up(fd) && faults_hit(FAULT_CALL, "write"))
		return -1;
	return __real_write(fd, data, size);
}

/* ---- memory ---- */

#define WRAP_MEMORY(name, parameters, arguments)                                                                       \
	void *__real_##name parameters;                                                                                \
	void *__wrap_##name parameters;                                                                                \
	void *__wrap_##name parameters                                                                                 \
	{                                                                                                              \
		return faults_hit(FAULT_MEMORY, #name) ? NULL : __real_##name arguments;                               \
	}

WRAP_MEMORY(malloc, (size_t size), (size))
WRAP_MEMORY(calloc, (size_t count, size_t size), (count, size))
WRAP_MEMORY(realloc, (void *old, size_t size), (old, size))
WRAP_MEMORY(strdup, (const char *text), (text))
WRAP_MEMORY(nlmsg_alloc_simple, (int type, int flags), (type, flags))

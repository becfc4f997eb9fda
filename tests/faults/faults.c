/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shortages that no limit can make for one running process: faults.so is preloaded into a daemon under test and stands between it and
 * the C library. The file named by WEFT_FAULTS is a struct fault_page, which the test changes while the daemon runs.
 *
 * Allocations are those of libraries too, the C library's own included. What is freed goes straight to the allocator, so this works
 * over AddressSanitizer's, if that is told to come second (verify_asan_link_order=0).
 *
 * A netlink socket whose buffer is full loses the message, and the next recvmsg() tells so. Here a message is taken out of the
 * socket and thrown away, so it is truly lost.
 */
#include "faults/faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static struct fault_page *page;
static _Thread_local uint64_t dice;

/* The function that would be called without us. Found at its first call, which may come before any constructor. */
#define NEXT(name)                                                                                                     \
	({                                                                                                             \
		static __typeof__(&name) found;                                                                        \
		if (!found)                                                                                            \
			found = (__typeof__(&name))dlsym(RTLD_NEXT, #name);                                            \
		found;                                                                                                 \
	})

__attribute__((constructor)) static void map_page(void)
{
	const char *path = getenv("WEFT_FAULTS");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *mapped = MAP_FAILED;

	if (fd >= 0) {
		mapped = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		close(fd);
	}
	if (mapped != MAP_FAILED)
		page = mapped;
}

/* Whether this call is to fail. */
static bool met(enum fault fault)
{
	uint32_t chance = page ? page->faults[fault].chance : 0;

	if (!chance)
		return false;
	if (!dice)
		dice = (uint64_t)(uintptr_t)&dice | 1;
	dice = dice * 6364136223846793005 + 1442695040888963407;
	if ((dice >> 40 & (FAULT_CERTAIN - 1)) >= chance)
		return false;
	page->faults[fault].met++;
	return true;
}

static bool no_memory(void)
{
	if (!met(FAULT_MEMORY))
		return false;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	return no_memory() ? NULL : NEXT(malloc)(size);
}

void *calloc(size_t count, size_t size)
{
	return no_memory() ? NULL : NEXT(calloc)(count, size);
}

void *realloc(void *block, size_t size)
{
	/* Smaller than it is, or freed: a daemon may rely on neither, but nothing forbids them. */
	return size && no_memory() ? NULL : NEXT(realloc)(block, size);
}

void *reallocarray(void *block, size_t count, size_t size)
{
	return no_memory() ? NULL : NEXT(reallocarray)(block, count, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return no_memory() ? NULL : NEXT(aligned_alloc)(alignment, size);
}

int posix_memalign(void **block, size_t alignment, size_t size)
{
	return met(FAULT_MEMORY) ? ENOMEM : NEXT(posix_memalign)(block, alignment, size);
}

/* AddressSanitizer's versions of these two do not call malloc(). */
char *strdup(const char *text)
{
	return no_memory() ? NULL : NEXT(strdup)(text);
}

char *strndup(const char *text, size_t size)
{
	return no_memory() ? NULL : NEXT(strndup)(text, size);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
	return met(FAULT_THREADS) ? EAGAIN : NEXT(pthread_create)(thread, attributes, run, argument);
}

/* After the call: whether the message that came is to be lost. */
static bool is_lost(int fd, ssize_t got, int flags)
{
	int domain = AF_UNSPEC;
	socklen_t length = sizeof(domain);

	if (!page || !page->faults[FAULT_NETLINK].chance || got < 0 || flags & MSG_PEEK)
		return false;
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) < 0 || domain != AF_NETLINK || !met(FAULT_NETLINK))
		return false;
	errno = ENOBUFS;
	return true;
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	ssize_t got = NEXT(recvmsg)(fd, message, flags);

	return is_lost(fd, got, flags) ? -1 : got;
}

ssize_t recvfrom(int fd, void *buffer, size_t size, int flags, __SOCKADDR_ARG address, socklen_t *length)
{
	ssize_t got = NEXT(recvfrom)(fd, buffer, size, flags, address, length);

	return is_lost(fd, got, flags) ? -1 : got;
}

ssize_t recv(int fd, void *buffer, size_t size, int flags)
{
	ssize_t got = NEXT(recv)(fd, buffer, size, flags);

	return is_lost(fd, got, flags) ? -1 : got;
}

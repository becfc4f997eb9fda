/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one connect() costs, without a packet: a UDP socket is connected to ADDRESS again and again, COUNT times.
 *
 *	connects ADDRESS COUNT
 *
 * Prints the fastest of 500 parts in nanoseconds a call. Others on the machine only ever make it slower, and a part is shorter than a
 * time slice.
 */
#include "base/addr.h"

#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

enum { PARTS = 500 };

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int main(int argc, char **argv)
{
	unsigned long count = argc == 3 ? strtoul(argv[2], NULL, 10) / PARTS : 0;
	double best = 0;
	struct addr to;
	int fd;

	if (!count || addr_parse(argv[1], &to) < 0)
		errx(64, "usage: connects ADDRESS COUNT");
	fd = socket(to.any.sa_family, SOCK_DGRAM, 0);
	if (fd < 0)
		err(1, "socket");
	for (int part = 0; part < PARTS; part++) {
		uint64_t begun = now_ns();
		double each;

		for (unsigned long i = 0; i < count; i++) {
			if (connect(fd, &to.any, addr_length(&to)) < 0)
				err(1, "connect to %s", argv[1]);
		}
		each = (double)(now_ns() - begun) / (double)count;
		if (!part || each < best)
			best = each;
	}
	printf("%.1f\n", best);
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stands in for libFuzzer where it is not linked: hands each file of a corpus to the target once. The files are those named as
 * arguments, or else those in corpus/NAME beside the source of a program NAME_fuzz.
 */
#include "fuzz.h"

#include <dirent.h>
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void replay(const char *path)
{
	FILE *file = fopen(path, "re");
	char *data = NULL;
	size_t size = 0;
	FILE *memory = open_memstream(&data, &size);

	if (!file || !memory)
		err(1, "%s", path);
	for (int byte; (byte = getc(file)) != EOF;)
		putc(byte, memory);
	fclose(file);
	if (fclose(memory) != 0)
		err(1, "%s", path);

	/* Of the exact size on the heap, so that AddressSanitizer sees the first byte read too far. */
	uint8_t *exact = malloc(size ? size : 1);
	if (!exact)
		err(1, "%s", path);
	if (size)
		memcpy(exact, data, size);
	free(data);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
}

static unsigned replay_folder(const char *path)
{
	DIR *folder = opendir(path);
	unsigned count = 0;

	if (!folder)
		err(1, "%s", path);
	for (struct dirent *entry; (entry = readdir(folder));) {
		char file[4096];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
		fprintf(stderr, "%s\n", file); /* the last one told is the one that broke it */
		replay(file);
		count++;
	}
	closedir(folder);
	return count;
}

/* The corpus of the program called ARGV0, ".../NAME_fuzz"; automake's test driver sets srcdir. */
static const char *corpus_of(const char *argv0)
{
	static char path[4096];
	const char *top = getenv("srcdir");
	const char *name = strrchr(argv0, '/') ? strrchr(argv0, '/') + 1 : argv0;

	if (strlen(name) <= strlen("_fuzz"))
		errx(1, "%s is no NAME_fuzz", name);
	snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%.*s", top ? top : ".",
		 (int)(strlen(name) - strlen("_fuzz")), name);
	return path;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	if (argc > 1)
		return 0;

	const char *corpus = corpus_of(argv[0]);
	unsigned count = replay_folder(corpus);
	printf("%u files of %s\n", count, corpus);
	return count ? 0 : 1;
}

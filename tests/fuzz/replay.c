/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Replaces libFuzzer where it is not linked, and passes each file of a corpus to the target once. The arguments name the
 * files; by default a program NAME_fuzz takes those in corpus/NAME beside its source.
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

	/* A heap block of the exact size lets AddressSanitizer see a read of even one byte too far. */
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
		fprintf(stderr, "%s\n", file); /* after a crash, the last line names the culprit */
		replay(file);
		count++;
	}
	closedir(folder);
	return count;
}

/* Returns the corpus of the program ARGV0, ".../NAME_fuzz"; automake's test driver sets srcdir. */
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

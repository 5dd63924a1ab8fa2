/* replay: a target as an ordinary test. fuzz-X runs every file of tests/fuzz/corpus/X, or of the folders and the files given;
 * it ends with "N passed, M failed", where each file counts. An input that breaks something ends the process: its name is the
 * last that was said. */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int passed;

static void run_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	size_t size = 0, room = 1 << 16;
	uint8_t *bytes = mem_alloc(room);
	FUZZ_MUST(file, "%s cannot be opened", path);
	for (size_t got; (got = fread(bytes + size, 1, room - size, file)) > 0;) {
		size += got;
		if (size == room)
			bytes = mem_realloc(bytes, room *= 2);
	}
	fclose(file);
	/* Exactly as long as it is: a sanitizer sees who reads behind it. */
	uint8_t *exact = mem_alloc(size);
	memcpy(exact, bytes, size);
	mem_free(bytes);
	printf("%s (%zu bytes)\n", path, size);
	fflush(stdout);
	LLVMFuzzerTestOneInput(exact, size);
	mem_free(exact);
	passed++;
}

static int visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void run(const char *path)
{
	struct dirent **entries;
	int count = scandir(path, &entries, visible, alphasort);
	if (count < 0) {
		run_file(path);
		return;
	}
	for (int i = 0; i < count; i++) {
		char *inner = mem_format("%s/%s", path, entries[i]->d_name);
		run_file(inner);
		mem_free(inner);
		free(entries[i]);
	}
	free(entries);
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');
	name = name ? name + 1 : argv[0];
	char *usual = mem_format("tests/fuzz/corpus/%s", strncmp(name, "fuzz-", 5) == 0 ? name + 5 : name);
	if (argc == 1)
		run(usual);
	mem_free(usual);
	for (int i = 1; i < argc; i++)
		run(argv[i]);
	printf("%d passed, %d failed\n", passed, passed == 0);
	return passed == 0;
}

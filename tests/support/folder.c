#include "folder.h"

#include "mem.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void folder_make(struct folder *folder)
{
	strcpy(folder->path, "/tmp/tandem-test-XXXXXX");
	if (!mkdtemp(folder->path))
		abort();
}

static void make_parents(char *path, size_t from)
{
	for (char *slash = path + from; (slash = strchr(slash, '/')); slash++) {
		*slash = 0;
		mkdir(path, 0777); /* it may be there */
		*slash = '/';
	}
}

void folder_write(const struct folder *folder, const char *file, const char *text)
{
	char *path = mem_format("%s/%s", folder->path, file);
	make_parents(path, strlen(folder->path) + 1);
	FILE *out = fopen(path, "wb");
	if (!out || fwrite(text, 1, strlen(text), out) != strlen(text) || fclose(out) != 0)
		abort();
	mem_free(path);
}

char *folder_read_file(const char *path, struct arena *arena)
{
	FILE *in = fopen(path, "rb");
	struct stat about;
	if (!in || fstat(fileno(in), &about) != 0) {
		fprintf(stderr, "%s cannot be read; tests run in the root of the sources\n", path);
		abort();
	}
	char *text = arena_alloc(arena, (size_t)about.st_size + 1);
	text[fread(text, 1, (size_t)about.st_size, in)] = 0;
	fclose(in);
	return text;
}

static int remove_one(const char *path, const struct stat *stat, int flag, struct FTW *ftw)
{
	(void)stat;
	(void)flag;
	(void)ftw;
	return remove(path);
}

void folder_remove(struct folder *folder)
{
	nftw(folder->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	folder->path[0] = 0;
}

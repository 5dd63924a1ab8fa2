/* folder: a folder of files that a test makes and removes. */
#ifndef TANDEM_TESTS_FOLDER_H
#define TANDEM_TESTS_FOLDER_H

struct arena;

struct folder {
	char path[64];
};

void folder_make(struct folder *folder);
/* Writes the file (its folders are made); aborts the test program where it cannot. */
void folder_write(const struct folder *folder, const char *file, const char *text);
void folder_remove(struct folder *folder); /* with all that is in it */

/* The text of any file, in the arena; aborts where it cannot be read. Tests run in the root of the sources. */
char *folder_read_file(const char *path, struct arena *arena);

#endif

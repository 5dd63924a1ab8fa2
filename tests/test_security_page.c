/* docs/security.md names a test for each claim: is there one of that name? */
#include "mem.h"
#include "support/folder.h"

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE "docs/security.md"

/* A function of this name, in a file of the tests. */
static bool is_a_test(const char *name, const glob_t *files, char *const *texts, struct arena *arena)
{
	const char *defined = arena_format(arena, "static void %s(", name);
	for (size_t i = 0; i < files->gl_pathc; i++)
		if (strstr(texts[i], defined))
			return true;
	return false;
}

static bool is_a_sentence(const char *name)
{
	size_t underscores = 0;
	for (const char *c = name; *c; c++) {
		if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789_", *c))
			return false;
		underscores += *c == '_';
	}
	return underscores >= 3;
}

static void every_test_that_the_page_names_is_there(void **state)
{
	(void)state;
	struct arena arena = {0};
	glob_t files;
	size_t names = 0, paths = 0;
	assert_int_equal(glob("tests/*.c", 0, NULL, &files), 0);
	assert_int_equal(glob("tests/*/*.c", GLOB_APPEND, NULL, &files), 0);
	char **texts = arena_alloc(&arena, files.gl_pathc * sizeof(char *));
	for (size_t i = 0; i < files.gl_pathc; i++)
		texts[i] = folder_read_file(files.gl_pathv[i], &arena);
	char *rest = folder_read_file(PAGE, &arena), *text;
	for (size_t i = 0; (text = strsep(&rest, "`")); i++) {
		if (i % 2 == 0) /* not between two backticks */
			continue;
		if (strncmp(text, "tests/", 6) == 0) {
			paths++;
			if (access(text, F_OK) != 0)
				fail_msg(PAGE " names %s, which is not there", text);
		} else if (is_a_sentence(text)) {
			names++;
			if (!is_a_test(text, &files, texts, &arena))
				fail_msg(PAGE " names %s, which no test is called", text);
		}
	}
	assert_true(paths > 20 && names > 8);
	globfree(&files);
	arena_fini(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_test_that_the_page_names_is_there)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

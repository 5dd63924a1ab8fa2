/* docs/writing-a-worker.md shows consumers/revenue.c whole: its blocks, joined by an empty line, are the file. What it shows
 * of tests/test_revenue.c stands there word for word. Runs in the root of the sources, as make does. */
#include "bytes.h"
#include "mem.h"
#include "support/folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char guide[] = "docs/writing-a-worker.md";

/* The next block marked with the path at or behind *at; moves *at behind it. False: there is none. */
static bool next_block(const char **at, const char *path, const char **block, size_t *len)
{
	char fence[128];
	snprintf(fence, sizeof fence, "\n```c %s\n", path);
	const char *start = strstr(*at, fence);
	if (!start)
		return false;
	start += strlen(fence);
	const char *end = strstr(start, "\n```\n");
	assert_non_null(end);
	*block = start;
	*len = (size_t)(end + 1 - start);
	*at = end;
	return true;
}

static void the_guide_shows_the_worker_whole(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct buf shown = {0};
	const char *block;
	size_t len;
	for (const char *at = folder_read_file(guide, &arena); next_block(&at, "consumers/revenue.c", &block, &len);) {
		if (shown.len)
			buf_put_u8(&shown, '\n');
		buf_put(&shown, block, len);
	}
	assert_string_equal(buf_text(&shown), folder_read_file("consumers/revenue.c", &arena));
	buf_fini(&shown);
	arena_fini(&arena);
}

static void the_guide_shows_tests_that_there_are(void **state)
{
	(void)state;
	struct arena arena = {0};
	const char *block, *file = folder_read_file("tests/test_revenue.c", &arena);
	size_t len, count = 0;
	for (const char *at = folder_read_file(guide, &arena); next_block(&at, "tests/test_revenue.c", &block, &len);
	     count++) {
		const char *wanted = arena_format(&arena, "%.*s", (int)len, block);
		if (!strstr(file, wanted))
			fail_msg("not in tests/test_revenue.c:\n%s", wanted);
	}
	assert_true(count >= 2);
	arena_fini(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_guide_shows_the_worker_whole),
		cmocka_unit_test(the_guide_shows_tests_that_there_are),
	};
	return cmocka_run_group_tests_name("writing_a_worker", tests, NULL, NULL);
}

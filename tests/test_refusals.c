/* The table of refusals against the sources, the tests and the documents: what the programs can refuse has a test that follows
 * its way out, a section in docs/operations.md or, where it makes a dead letter, a row in docs/dead-letters.md. */
#include "support/folder.h"
#include "support/refusals.h"

#include "mem.h"

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SITES_MAX 128

struct site {
	const char *source;
	char code[64];
};

/* err_set(err, STATUS, "code", ...): every one that is no rejection and has a code of its own. */
static size_t find_sites(const char *source, const char *text, struct site *sites, size_t count)
{
	for (const char *at = text; (at = strstr(at, "err_set(")) != NULL; at++) {
		char status[32], code[64];
		if (sscanf(at, "err_set(%*[^,], %31[A-Za-z_], \"%63[a-z_0-9]\"", status, code) != 2 ||
		    strcmp(status, "REJECT") == 0 || strcmp(code, "interrupted") == 0)
			continue;
		assert_true(count < SITES_MAX);
		sites[count].source = source;
		memcpy(sites[count++].code, code, sizeof code);
	}
	return count;
}

static size_t rows_of(const char *source, const char *code)
{
	size_t count = 0;
	for (size_t i = 0; i < refusal_count; i++)
		count += strcmp(refusals[i].source, source) == 0 && strcmp(refusals[i].code, code) == 0;
	return count;
}

static void every_refusal_in_the_sources_has_its_test(void **state)
{
	(void)state;
	static const char *const sources[] = {
		"common/worker.c",         "common/worker_commit.c", "common/worker_events.c", "common/worker_open.c",
		"common/worker_outputs.c", "common/worker_slots.c",  "common/task.c",          "common/task_file.c",
		"common/task_fold.c",      "common/rows.c",          "common/rows_table.c",    "common/genesis.c",
		"common/policy.c",         "common/lock.c",          "consumers/order.c",      "consumers/inventory.c",
		"consumers/revenue.c",     "common/partitions.c",    "common/installation.c",  "common/refold.c",
		"common/rebuild.c",        "common/resend.c",        "common/seal.c",          "common/secret.c"};
	struct arena arena = {0};
	struct site sites[SITES_MAX];
	size_t count = 0;
	for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
		count = find_sites(sources[i], folder_read_file(sources[i], &arena), sites, count);
	assert_true(count > 40);
	for (size_t i = 0; i < count; i++) {
		size_t found = 0;
		for (size_t k = 0; k < count; k++)
			found += sites[k].source == sites[i].source && strcmp(sites[k].code, sites[i].code) == 0;
		if (found != rows_of(sites[i].source, sites[i].code))
			fail_msg("%s refuses %zu times with %s, tests/support/refusals.c has %zu rows for it",
			         sites[i].source, found, sites[i].code, rows_of(sites[i].source, sites[i].code));
	}
	assert_int_equal(count, refusal_count);
	arena_fini(&arena);
}

static void every_test_that_a_refusal_names_is_there(void **state)
{
	(void)state;
	struct arena arena = {0};
	for (size_t i = 0; i < refusal_count; i++) {
		const char *path = arena_format(&arena, "tests/%s", refusals[i].test_file);
		const char *test = arena_format(&arena, "(%s", refusals[i].test);
		if (!strstr(folder_read_file(path, &arena), test))
			fail_msg("%s has no test %s", path, refusals[i].test);
	}
	arena_fini(&arena);
}

/* ---- every halt has a section ---- */

#define CODES_MAX 256

struct codes {
	struct {
		char code[64];
		const char *source;
	} items[CODES_MAX];
	size_t count;
};

/* What stands in quotes right behind this. */
static void find_codes(struct codes *codes, const char *source, const char *text, const char *before)
{
	for (const char *at = text; (at = strstr(at, before)) != NULL;) {
		char code[64];
		at += strlen(before);
		if (sscanf(at, "%63[a-z_0-9]\"", code) != 1 || at[strlen(code)] != '"')
			continue;
		assert_true(codes->count < CODES_MAX);
		memcpy(codes->items[codes->count].code, code, sizeof code);
		codes->items[codes->count++].source = source;
	}
}

/* Every code that ends in FATAL or RETRY in what a worker is made of: err_set, and the tables of the libraries' errors. */
static void find_halts(struct codes *codes, struct arena *arena)
{
	static const char *const before[] = {"FATAL, \"", "RETRY, \"", "*code = \""};
	glob_t found;
	assert_int_equal(glob("common/*.c", 0, NULL, &found), 0);
	assert_int_equal(glob("consumers/*.c", GLOB_APPEND, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		const char *source = arena_format(arena, "%s", found.gl_pathv[i]),
			   *text = folder_read_file(source, arena);
		for (size_t k = 0; k < sizeof before / sizeof *before; k++)
			find_codes(codes, source, text, before[k]);
	}
	/* What bytes or values are no event of its schema: of a numbered event, or of an output, it halts. */
	find_codes(codes, "common/wire.c", folder_read_file("common/wire.c", arena), "REJECT, \"");
	globfree(&found);
}

/* The section whose heading names the code; NULL: there is none. */
static const char *section_of(const char *document, const char *code, struct arena *arena)
{
	const char *wanted = arena_format(arena, "`%s`", code);
	for (const char *at = document; (at = strstr(at, "\n### ")) != NULL; at++) {
		const char *heading = arena_format(arena, "%.*s", (int)strcspn(at + 1, "\n"), at + 1);
		if (!strstr(heading, wanted))
			continue;
		const char *end = strstr(at + 1, "\n##");
		return end ? arena_format(arena, "%.*s", (int)(end - at), at) : at;
	}
	return NULL;
}

static void expect_section(const char *document, const char *code, const char *source, struct arena *arena)
{
	static const char *const parts[] = {"\n**Means:** ", "\n**Look:** ", "\n**Do:** ", "\n**Data:** "};
	const char *section = section_of(document, code, arena), *at = section;
	if (!section)
		fail_msg("docs/operations.md has no section for %s (%s)", code, source);
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		const char *part = strstr(at, parts[i]);
		if (!part)
			fail_msg("the section for %s in docs/operations.md does not say '%s' behind the rest", code,
			         parts[i] + 1);
		at = part + strlen(parts[i]);
	}
}

static void every_halt_has_a_section_that_says_what_to_do(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct codes codes = {0};
	const char *document = folder_read_file("docs/operations.md", &arena);
	find_halts(&codes, &arena);
	assert_true(codes.count > 100);
	for (size_t i = 0; i < codes.count; i++)
		if (strcmp(codes.items[i].code, "interrupted") != 0 && strcmp(codes.items[i].code, "not_done") != 0)
			expect_section(document, codes.items[i].code, codes.items[i].source, &arena);
	for (size_t i = 0; i < refusal_count; i++)
		expect_section(document, refusals[i].code, refusals[i].source, &arena);
	arena_fini(&arena);
}

static void find_alerts(struct codes *codes, struct arena *arena)
{
	static const char source[] = "docker/prometheus/rules.yml", before[] = "- alert: ";
	for (const char *at = folder_read_file(source, arena); (at = strstr(at, before)) != NULL;) {
		at += strlen(before);
		assert_true(codes->count < CODES_MAX);
		assert_int_equal(sscanf(at, "%63[A-Za-z0-9]", codes->items[codes->count].code), 1);
		codes->items[codes->count++].source = source;
	}
}

static void every_alert_has_a_section_and_a_test(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct codes alerts = {0};
	const char *document = folder_read_file("docs/operations.md", &arena),
		   *tests = folder_read_file("docker/prometheus/rules_test.yml", &arena);
	find_alerts(&alerts, &arena);
	assert_true(alerts.count >= 8);
	for (size_t i = 0; i < alerts.count; i++) {
		const char *code = alerts.items[i].code;
		expect_section(document, code, alerts.items[i].source, &arena);
		if (!strstr(tests,
		            arena_format(&arena, "\n        alertname: %s\n        exp_alerts:\n          - ", code)))
			fail_msg("docker/prometheus/rules_test.yml has no case where %s fires", code);
	}
	arena_fini(&arena);
}

static void every_section_is_of_a_halt_or_an_alert_that_there_is(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct codes codes = {0}, sections = {0};
	const char *document = folder_read_file("docs/operations.md", &arena);
	find_halts(&codes, &arena);
	find_alerts(&codes, &arena);
	for (const char *at = document; (at = strstr(at, "\n### ")) != NULL; at++)
		for (const char *from = at, *end = at + strcspn(at + 1, "\n");
		     (from = strchr(from, '`')) && from < end;) {
			assert_int_equal(sscanf(from, "`%63[A-Za-z_0-9]`", sections.items[sections.count].code), 1);
			from += strlen(sections.items[sections.count++].code) + 2;
		}
	assert_true(sections.count > 40);
	for (size_t i = 0; i < sections.count; i++) {
		bool known = false;
		for (size_t k = 0; k < codes.count && !known; k++)
			known = strcmp(codes.items[k].code, sections.items[i].code) == 0;
		for (size_t k = 0; k < refusal_count && !known; k++)
			known = strcmp(refusals[k].code, sections.items[i].code) == 0;
		if (!known)
			fail_msg("docs/operations.md has a section for %s, which nothing says", sections.items[i].code);
	}
	arena_fini(&arena);
}

static void every_reason_of_a_dead_letter_is_explained(void **state)
{
	(void)state;
	static const char *const sources[] = {"common/task_fold.c", "consumers/order.c", "consumers/inventory.c",
	                                      "consumers/revenue.c"};
	struct arena arena = {0};
	struct codes codes = {0};
	const char *document = folder_read_file("docs/dead-letters.md", &arena);
	for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
		find_codes(&codes, sources[i], folder_read_file(sources[i], &arena), "REJECT, \"");
		find_codes(&codes, sources[i], folder_read_file(sources[i], &arena), "fold_reject(err, \"");
	}
	assert_true(codes.count > 10);
	for (size_t i = 0; i < codes.count; i++)
		if (!strstr(document, arena_format(&arena, "`%s`", codes.items[i].code)))
			fail_msg("docs/dead-letters.md does not explain %s (%s)", codes.items[i].code,
			         codes.items[i].source);
	arena_fini(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_refusal_in_the_sources_has_its_test),
		cmocka_unit_test(every_test_that_a_refusal_names_is_there),
		cmocka_unit_test(every_halt_has_a_section_that_says_what_to_do),
		cmocka_unit_test(every_alert_has_a_section_and_a_test),
		cmocka_unit_test(every_section_is_of_a_halt_or_an_alert_that_there_is),
		cmocka_unit_test(every_reason_of_a_dead_letter_is_explained),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

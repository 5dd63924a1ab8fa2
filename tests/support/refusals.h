/* refusals: every FATAL and RETRY that the sources of a worker can say, and the test that provokes it and follows its way out.
 * One row for each place in a source; tests/test_refusals.c compares them with the sources, so a new refusal needs a test. */
#ifndef TANDEM_TESTS_REFUSALS_H
#define TANDEM_TESTS_REFUSALS_H

#include <stddef.h>

struct refusal_row {
	const char *source, *code;
	const char *test_file, *test;
};

extern const struct refusal_row refusals[];
extern const size_t refusal_count;

#endif

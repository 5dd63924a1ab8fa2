/* check: what a test needs to go well, and is not what it tests. */
#ifndef TANDEM_TESTS_CHECK_H
#define TANDEM_TESTS_CHECK_H

#include "err.h"

/* Fails the test with err's code and text unless the status is OK. */
void check(enum status status, const struct err *err);

#endif

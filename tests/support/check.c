#include "check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

void check(enum status status, const struct err *err)
{
	if (status != OK)
		fail_msg("%s: %s", err->code ? err->code : "?", err->text);
}

#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum status err_set(struct err *err, enum status status, const char *code, const char *format, ...)
{
	if (!err)
		return status;
	va_list args;
	va_start(args, format);
	err->code = code;
	vsnprintf(err->text, sizeof err->text, format, args);
	va_end(args);
	return status;
}

enum status err_context(struct err *err, enum status status, const char *format, ...)
{
	if (!err)
		return status;
	char text[sizeof err->text];
	va_list args;
	va_start(args, format);
	int len = vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (len >= 0 && (size_t)len < sizeof text)
		snprintf(text + len, sizeof text - (size_t)len, ": %s", err->text);
	memcpy(err->text, text, sizeof text);
	err->text[sizeof err->text - 1] = 0;
	return status;
}

bool err_is(const struct err *err, const char *code)
{
	return err && err->code && strcmp(err->code, code) == 0;
}

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
	int len = vsnprintf(text, sizeof text - 2, format, args);
	va_end(args);
	size_t at = len < 0 ? 0 : (size_t)len < sizeof text - 3 ? (size_t)len : sizeof text - 3;
	text[at++] = ':';
	text[at++] = ' ';
	size_t room = sizeof text - at - 1, old = strlen(err->text);
	memcpy(text + at, err->text, old < room ? old : room);
	text[at + (old < room ? old : room)] = 0;
	memcpy(err->text, text, strlen(text) + 1);
	return status;
}

bool err_is(const struct err *err, const char *code)
{
	return err && err->code && strcmp(err->code, code) == 0;
}

#include "err.h"

#include "bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A text may quote what a record or a file holds, and is cut where it does not fit. What is no printable UTF-8 becomes '?': it
 * goes into headers, files and terminals. */
static void make_printable(char *text)
{
	size_t left = strlen(text);
	for (unsigned char *at = (unsigned char *)text; left;) {
		size_t step = utf8_bytes(at, left);
		bool control = at[0] < 0x20 || at[0] == 0x7f || (at[0] == 0xc2 && step == 2 && at[1] < 0xa0);
		step = step ? step : 1;
		if (control || (step == 1 && at[0] >= 0x80))
			memset(at, '?', step);
		at += step;
		left -= step;
	}
}

enum status err_set(struct err *err, enum status status, const char *code, const char *format, ...)
{
	if (!err)
		return status;
	va_list args;
	va_start(args, format);
	err->code = code;
	vsnprintf(err->text, sizeof err->text, format, args);
	va_end(args);
	make_printable(err->text);
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
	make_printable(err->text);
	return status;
}

bool err_is(const struct err *err, const char *code)
{
	return err && err->code && strcmp(err->code, code) == 0;
}

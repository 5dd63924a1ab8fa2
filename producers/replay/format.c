#include "format.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LETTERS "tpokKsSRTh%"

/* Either a %-letter, or text. */
struct piece {
	char letter; /* 0: text */
	char *text;
	size_t len;
};

struct format {
	struct piece *pieces;
	size_t count;
};

/* ---- reading one ---- */

static int hex_digit(char c)
{
	if (!isxdigit((unsigned char)c))
		return -1;
	return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* Behind a backslash. 0: it is no escape; else how many characters it takes. */
static size_t unescape(const char *at, char *byte)
{
	static const char names[] = "nrt\\", bytes[] = "\n\r\t\\";
	const char *name = *at ? strchr(names, *at) : NULL;
	if (name) {
		*byte = bytes[name - names];
		return 1;
	}
	int high = *at == 'x' ? hex_digit(at[1]) : -1;
	int low = high >= 0 ? hex_digit(at[2]) : -1;
	if (low < 0)
		return 0;
	*byte = (char)(high * 16 + low);
	return 3;
}

static struct piece *text_piece(struct format *format, struct arena *arena, size_t room)
{
	struct piece *last = format->count ? &format->pieces[format->count - 1] : NULL;
	if (!last || last->letter) {
		last = &format->pieces[format->count++];
		*last = (struct piece){.text = arena_alloc(arena, room)};
	}
	return last;
}

const struct format *format_parse(const char *text, struct arena *arena, const char **wrong)
{
	size_t room = strlen(text) + 1;
	struct format *format = arena_alloc(arena, sizeof *format);
	*format = (struct format){.pieces = arena_alloc(arena, room * sizeof(struct piece))};
	for (const char *at = text; *at;) {
		char byte = *at;
		size_t taken = 1;
		if (*at == '\\' && !(taken = unescape(at + 1, &byte))) {
			*wrong = arena_format(arena, "found '%.4s', expected one of \\n \\r \\t \\\\ \\xNN", at);
			return NULL;
		}
		if (*at == '%' && (!at[1] || !strchr(LETTERS, at[1]))) {
			*wrong = arena_format(
				arena, "found '%.2s', expected one of %%t %%p %%o %%k %%K %%s %%S %%R %%T %%h %%%%",
				at);
			return NULL;
		}
		if (*at == '%' && at[1] != '%') {
			format->pieces[format->count++] = (struct piece){.letter = at[1]};
			at += 2;
			continue;
		}
		at += *at == '\\' || *at == '%' ? taken + 1 : 1;
		struct piece *piece = text_piece(format, arena, room);
		piece->text[piece->len++] = byte;
	}
	return format;
}

/* ---- writing by it ---- */

static void put_bytes(const struct log_bytes *bytes, bool raw, struct buf *out)
{
	if (bytes->len <= 0)
		return;
	if (raw)
		buf_put(out, bytes->data, (size_t)bytes->len);
	else
		record_view_safe(bytes, out);
}

static void put_value(const struct record_view *view, bool raw, struct buf *out)
{
	if (view->event)
		record_view_event(view, out);
	else
		put_bytes(&view->record->value, raw, out);
}

static void put_headers(const struct log_record *record, bool raw, struct buf *out)
{
	for (size_t i = 0; i < record->header_count; i++) {
		const struct log_header *header = &record->headers[i];
		const struct log_bytes name = {header->name, (int32_t)strlen(header->name)};
		if (i)
			buf_put_u8(out, ',');
		put_bytes(&name, raw, out);
		buf_put_u8(out, '=');
		if (header->value.len < 0)
			buf_putf(out, "NULL");
		else if (!record_view_header(header, out))
			put_bytes(&header->value, raw, out);
	}
}

static void put_letter(char letter, const struct record_view *view, const char *topic, bool raw, struct buf *out)
{
	const struct log_record *record = view->record;
	switch (letter) {
	case 't':
		buf_putf(out, "%s", topic);
		break;
	case 'p':
		buf_putf(out, "%" PRId32, record->partition);
		break;
	case 'o':
		buf_putf(out, "%" PRId64, record->offset);
		break;
	case 'k':
		put_bytes(&record->key, raw, out);
		break;
	case 'K':
		buf_putf(out, "%" PRId32, record->key.len);
		break;
	case 's':
		put_value(view, raw, out);
		break;
	case 'S':
		buf_putf(out, "%" PRId32, record->value.len);
		break;
	case 'R':
		buf_put_be32(out, (uint32_t)record->value.len);
		break;
	case 'T':
		buf_putf(out, "%" PRId64, record->timestamp_ms);
		break;
	default:
		put_headers(record, raw, out);
	}
}

void format_put(const struct format *format, const struct record_view *view, const char *topic, bool raw,
                struct buf *out)
{
	for (size_t i = 0; i < format->count; i++) {
		const struct piece *piece = &format->pieces[i];
		if (piece->letter)
			put_letter(piece->letter, view, topic, raw, out);
		else
			buf_put(out, piece->text, piece->len);
	}
}

#include "csv.h"

struct cursor {
	const char *bytes;
	size_t at, len; /* at <= len */
	size_t lines;   /* line ends before at */
	struct csv_record *out;
	size_t text; /* bytes of out->text in use */
	const char *wrong;
};

static bool at_end(const struct cursor *c)
{
	return c->at == c->len;
}

static char peek(const struct cursor *c)
{
	return c->bytes[c->at];
}

/* Every field byte comes from a byte of its own, so text has room for all and a NUL a field. */
static void put(struct cursor *c, char byte)
{
	c->out->text[c->text++] = byte;
}

static enum csv_result bad(struct cursor *c, const char *wrong)
{
	c->wrong = wrong;
	return CSV_BAD;
}

static bool field_begin(struct cursor *c)
{
	if (c->out->count == CSV_FIELDS)
		return false;
	c->out->fields[c->out->count++] = &c->out->text[c->text];
	return true;
}

/* Behind the opening quote, up to behind the closing one. CSV_RECORD: done. */
static enum csv_result quoted(struct cursor *c, bool last)
{
	for (;;) {
		if (at_end(c))
			return last ? bad(c, "found the end of the file within quotes, expected a closing quote")
			            : CSV_MORE;
		char byte = c->bytes[c->at++];
		if (byte == '"') {
			if (at_end(c))
				return last ? CSV_RECORD : CSV_MORE;
			if (peek(c) != '"')
				return CSV_RECORD;
			c->at++;
		} else if (!byte) {
			return bad(c, "found a NUL byte, expected text");
		}
		c->lines += byte == '\n';
		put(c, byte);
	}
}

static enum csv_result unquoted(struct cursor *c, bool last)
{
	for (; !at_end(c); c->at++) {
		char byte = peek(c);
		if (byte == ',' || byte == '\n' || byte == '\r')
			return CSV_RECORD;
		if (byte == '"')
			return bad(c, "found a quote within an unquoted field, expected the whole field in quotes");
		if (!byte)
			return bad(c, "found a NUL byte, expected text");
		put(c, byte);
	}
	return last ? CSV_RECORD : CSV_MORE;
}

/* What stands behind a field. *more: a comma, another field follows. */
static enum csv_result separator(struct cursor *c, bool last, bool *more)
{
	*more = false;
	if (at_end(c))
		return last ? CSV_RECORD : CSV_MORE;
	char byte = c->bytes[c->at++];
	if (byte == ',') {
		*more = true;
		return CSV_RECORD;
	}
	if (byte == '\r') {
		if (at_end(c))
			return last ? bad(c, "found a CR at the end of the file, expected CR LF") : CSV_MORE;
		byte = c->bytes[c->at++];
		if (byte != '\n')
			return bad(c, "found a CR alone, expected CR LF");
	}
	if (byte != '\n')
		return bad(c, "found text behind a closing quote, expected a comma or the line's end");
	c->lines++;
	return CSV_RECORD;
}

static enum csv_result parse(struct cursor *c, bool last)
{
	bool more = true;
	while (more) {
		if (!field_begin(c))
			return bad(c, "found more than 64 fields in a record");
		enum csv_result result;
		if (!at_end(c) && peek(c) == '"') {
			c->at++;
			result = quoted(c, last);
		} else {
			result = unquoted(c, last);
		}
		if (result != CSV_RECORD)
			return result;
		put(c, 0);
		result = separator(c, last, &more);
		if (result != CSV_RECORD)
			return result;
	}
	return CSV_RECORD;
}

enum csv_result csv_parse(const char *bytes, size_t len, bool last, struct csv_record *out, size_t *used, size_t *lines,
                          const char **wrong)
{
	bool cut = len > CSV_RECORD_BYTES;
	struct cursor c = {.bytes = bytes, .len = cut ? CSV_RECORD_BYTES : len, .out = out};
	out->count = 0;
	*used = *lines = 0;
	*wrong = NULL;
	if (!len)
		return last ? CSV_END : CSV_MORE;
	enum csv_result result = parse(&c, last && !cut);
	if (result == CSV_MORE && (cut || c.len == CSV_RECORD_BYTES))
		result = bad(&c, "found a record longer than 64 KiB: is a closing quote missing?");
	*lines = c.lines;
	*wrong = c.wrong;
	if (result == CSV_RECORD)
		*used = c.at;
	return result;
}

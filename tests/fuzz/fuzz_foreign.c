/* Any schema, and a datum that is said to be written with it: what avro-c gets to see behind our bounds.
 *
 * Input: which schema (1 byte: one of those below; else the next two bytes say how long its text is, which follows), the
 * datum. */
#include "event.h"
#include "event_avro.h"
#include "fuzz.h"

#include <string.h>

/* What a byte of the datum, and of the schema, may take: see docs/reference.md. */
#define PER_BYTE           512
#define PER_BYTE_OF_SCHEMA 128
#define BASE               (192 * 1024)

static const char everything[] =
	"{\"type\":\"record\",\"name\":\"n.R\",\"fields\":[{\"name\":\"a\",\"type\":[\"null\",\"R\",\"string\"]},"
	"{\"name\":\"b\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}}},"
	"{\"name\":\"c\",\"type\":{\"type\":\"map\",\"values\":\"E\"}},{\"name\":\"d\",\"type\":{\"type\":\"fixed\","
	"\"name\":\"F\",\"size\":2}},{\"name\":\"e\",\"type\":[\"F\",\"double\",\"int\",{\"type\":\"array\",\"items\":\"null\"}]},"
	"{\"name\":\"f\",\"type\":\"bytes\"},{\"name\":\"g\",\"type\":\"float\"},{\"name\":\"h\",\"type\":\"boolean\"}]}";

static const char *const schemas[] = {
	everything,
	"\"string\"",
	"{\"type\":\"array\",\"items\":\"null\"}",
	"{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":\"null\"}}",
	"{\"type\":\"array\",\"items\":{\"type\":\"map\",\"values\":\"null\"}}",
	"{\"type\":\"map\",\"values\":{\"type\":\"map\",\"values\":\"int\"}}",
	"{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"E\",\"fields\":[]}}",
	"{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"E\",\"fields\":[{\"name\":\"a\",\"type\":\"null\"},"
	"{\"name\":\"b\",\"type\":{\"type\":\"fixed\",\"name\":\"F\",\"size\":0}},{\"name\":\"c\",\"type\":\"null\"}]}}",
	"{\"type\":\"record\",\"name\":\"L\",\"fields\":[{\"name\":\"next\",\"type\":[\"null\",\"L\"]}]}",
	"{\"type\":\"record\",\"name\":\"T\",\"fields\":[{\"name\":\"under\",\"type\":{\"type\":\"array\",\"items\":\"T\"}}]}",
	"{\"type\":\"array\",\"items\":[\"null\",\"boolean\",\"bytes\",\"long\"]}",
};
#define SCHEMAS (sizeof schemas / sizeof *schemas)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = {data, data + size};
	struct arena arena = {0};
	struct err err = {0};
	const char *text = NULL, *schema;
	size_t len, which = fuzz_u8(&input);
	if (which < SCHEMAS) {
		schema = schemas[which];
	} else {
		size_t want = (size_t)fuzz_u8(&input) << 8;
		want |= fuzz_u8(&input);
		schema = fuzz_text(&input, want);
	}
	const uint8_t *body = fuzz_bytes(&input, SIZE_MAX, &len);
	memory_begin();
	enum status status = event_foreign_to_json(schema, body, len, &arena, &text, &err);
	size_t peak = memory_end();
	FUZZ_WITHIN("datum", peak, len, PER_BYTE, BASE + PER_BYTE_OF_SCHEMA * strlen(schema));
	if (status == OK)
		FUZZ_MUST(text && *text, "nothing printed");
	else
		FUZZ_MUST(status == REJECT && (err_is(&err, "bad_schema") || err_is(&err, "malformed")), "%s",
		          err.text);
	arena_fini(&arena);
	fuzz_forget();
	return 0;
}

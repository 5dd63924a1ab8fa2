#include "json.h"

#include "bytes.h"

void json_print_line(FILE *out, json_t *taken)
{
	json_dumpf(taken, out, JSON_COMPACT);
	fputc('\n', out);
	json_decref(taken);
}

json_t *json_of_bytes(const uint8_t *bytes, size_t len)
{
	struct buf text = {0};
	for (size_t i = 0; i < len; i++) {
		if (bytes[i] >= 0x80)
			buf_put_u8(&text, (uint8_t)(0xc0 | bytes[i] >> 6));
		buf_put_u8(&text, bytes[i] < 0x80 ? bytes[i] : (uint8_t)(0x80 | (bytes[i] & 0x3f)));
	}
	json_t *json = json_stringn(buf_text(&text), text.len);
	buf_fini(&text);
	return json;
}

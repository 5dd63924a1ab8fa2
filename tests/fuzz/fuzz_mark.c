/* The metadata string of a group offset: is it a mark?
 *
 * Input: the group's offset (8 bytes), the text. */
#include "fuzz.h"
#include "mark.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = {data, data + size};
	struct task_position found = {0}, again = {0};
	char text[MARK_TEXT_MAX + 1];
	int64_t offset = (int64_t)fuzz_be64(&input);
	const char *metadata = fuzz_text(&input, SIZE_MAX);
	memory_begin();
	bool is_mark = mark_parse(metadata, offset, &found);
	FUZZ_WITHIN("mark", memory_end(), 0, 0, 0);
	if (is_mark) { /* only what we would have written is one, and it says what it says */
		mark_print(&found, text);
		FUZZ_MUST(strcmp(text, metadata) == 0, "%s is not %s", text, metadata);
		FUZZ_MUST(found.next_offset == offset && found.last_offset >= 0 && found.last_offset < offset, "%s",
		          metadata);
		FUZZ_MUST(mark_parse(text, offset, &again) && mark_equal(&found, &again), "%s", metadata);
		FUZZ_MUST(!mark_parse(text, offset == INT64_MAX ? 0 : offset + 1, &again), "%s", metadata);
	}
	fuzz_forget();
	return 0;
}

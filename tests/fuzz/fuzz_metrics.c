/* A page of metrics: a peer's. Input: the page. */
#include "fuzz.h"
#include "metrics_read.h"

#include <string.h>

#define PER_BYTE 16
#define BASE     (256 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = {data, data + size};
	struct arena arena = {0};
	struct metrics_read read = {0};
	struct metrics_read_sample sample;
	read.page = (const char *)fuzz_bytes(&input, SIZE_MAX, &read.len);
	memory_begin();
	for (size_t count = 0; metrics_read_next(&read, &arena, &sample); count++) {
		FUZZ_MUST(count < size, "more samples than bytes");
		FUZZ_MUST(*sample.name && sample.label_count <= METRICS_READ_LABELS, "%s", sample.name);
		for (size_t i = 0; i < sample.label_count; i++)
			FUZZ_MUST(*sample.labels[i].name && sample.labels[i].value, "%s", sample.name);
		FUZZ_MUST(metrics_read_label(&sample, "partition"), "%s", sample.name);
	}
	FUZZ_WITHIN("metrics", memory_end(), size, PER_BYTE, BASE);
	FUZZ_MUST(read.at == read.len, "%zu of %zu", read.at, read.len);
	arena_fini(&arena);
	fuzz_forget();
	return 0;
}

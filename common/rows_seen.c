#include "rows_seen.h"

#include "mem.h"

#define BLOCKS_MAX 16384 /* of 64 bytes; powers of two. Two million keys leave one wrong guess in five */
#define BLOCKS_MIN 64

struct rows_seen {
	size_t blocks;
	uint64_t words[][8];
};

struct rows_seen *rows_seen_new(size_t bytes_max)
{
	size_t blocks = BLOCKS_MAX;
	while (blocks > BLOCKS_MIN && blocks * sizeof(uint64_t[8]) > bytes_max)
		blocks /= 2;
	struct rows_seen *seen = mem_zalloc(1, sizeof *seen + blocks * sizeof *seen->words);
	seen->blocks = blocks;
	return seen;
}

void rows_seen_add(struct rows_seen *seen, uint64_t hash)
{
	uint64_t *words = seen->words[hash >> 32 & (seen->blocks - 1)];
	words[hash >> 6 & 7] |= UINT64_C(1) << (hash & 63);
	words[hash >> 15 & 7] |= UINT64_C(1) << (hash >> 9 & 63);
}

bool rows_seen_has(const struct rows_seen *seen, uint64_t hash)
{
	const uint64_t *words = seen->words[hash >> 32 & (seen->blocks - 1)];
	return (words[hash >> 6 & 7] >> (hash & 63) & 1) && (words[hash >> 15 & 7] >> (hash >> 9 & 63) & 1);
}

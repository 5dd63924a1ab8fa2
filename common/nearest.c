#include "nearest.h"

#include <string.h>

#define NAME_MAX_BYTES 63

/* Levenshtein distance by rows; both at most NAME_MAX_BYTES long. */
static size_t distance(const char *a, const char *b)
{
	size_t row[NAME_MAX_BYTES + 1], a_len = strlen(a), b_len = strlen(b);
	for (size_t j = 0; j <= b_len; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
			size_t other = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
			diagonal = row[j];
			row[j] = replaced < other ? replaced : other;
		}
	}
	return row[b_len];
}

const char *nearest(const char *word, nearest_name *name_at, const void *names)
{
	const char *name, *best = NULL;
	size_t best_distance = strlen(word) / 3 + 2;
	if (strlen(word) > NAME_MAX_BYTES)
		return NULL;
	for (size_t i = 0; (name = name_at(names, i)); i++) {
		if (strlen(name) > NAME_MAX_BYTES)
			continue;
		size_t d = distance(word, name);
		if (d < best_distance && d < strlen(name)) {
			best_distance = d;
			best = name;
		}
	}
	return best;
}

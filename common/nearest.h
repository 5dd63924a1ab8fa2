/* nearest: "did you mean": the name a mistyped word is closest to. A pure function. */
#ifndef TANDEM_NEAREST_H
#define TANDEM_NEAREST_H

#include <stddef.h>

/* Gives the i-th name, NULL behind the last. */
typedef const char *nearest_name(const void *names, size_t i);

/* The name with the smallest edit distance, where that is small against the word's length; NULL: none is near. */
const char *nearest(const char *word, nearest_name *name_at, const void *names);

#endif

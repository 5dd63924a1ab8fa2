#include "json.h"

void json_print_line(FILE *out, json_t *taken)
{
	json_dumpf(taken, out, JSON_COMPACT);
	fputc('\n', out);
	json_decref(taken);
}

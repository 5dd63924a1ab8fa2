/* json: the one place that includes jansson, which does all JSON here. */
#ifndef TANDEM_JSON_H
#define TANDEM_JSON_H

#include <jansson.h>

#include <stdio.h>

/* Writes one JSON value and a newline, keys in insertion order. Takes the reference. */
void json_print_line(FILE *out, json_t *taken);

#endif

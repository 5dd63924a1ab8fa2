/* json: the one place that includes jansson, which does all JSON here. */
#ifndef TANDEM_JSON_H
#define TANDEM_JSON_H

#include <jansson.h>

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Writes one JSON value and a newline, keys in insertion order. Takes the reference. */
void json_print_line(FILE *out, json_t *taken);

/* A string in which each character's code point is a byte: Avro's JSON for bytes and fixed. A new reference. */
json_t *json_of_bytes(const uint8_t *bytes, size_t len);

#endif

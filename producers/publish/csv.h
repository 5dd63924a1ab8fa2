/* csv: RFC 4180 records, one at a time, out of bytes. A pure function: no file, no allocation, bounded whatever it
 * gets. */
#ifndef TANDEM_PUBLISH_CSV_H
#define TANDEM_PUBLISH_CSV_H

#include <stdbool.h>
#include <stddef.h>

#define CSV_RECORD_BYTES 65536 /* longest record, line end included */
#define CSV_FIELDS       64

struct csv_record {
	size_t count;
	const char *fields[CSV_FIELDS]; /* NUL-terminated, unquoted; they point into text */
	char text[CSV_RECORD_BYTES + CSV_FIELDS];
};

enum csv_result {
	CSV_RECORD, /* a record is there; *used bytes were its text and line end, *lines the line ends in it */
	CSV_MORE,   /* the bytes end within a record, and more may follow */
	CSV_END,    /* nothing is left */
	CSV_BAD,    /* no RFC 4180: *wrong says what was found and expected (static), *lines in which line of the bytes,
		       from 0 */
};

/* Parses the record that bytes begin with. Fields are separated by commas, records by LF or CR LF; a quoted field may
 * hold both, and a quote as two. last: no bytes follow. An empty line is a record of one empty field. */
enum csv_result csv_parse(const char *bytes, size_t len, bool last, struct csv_record *out, size_t *used, size_t *lines,
                          const char **wrong);

#endif

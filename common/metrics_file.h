/* metrics_file: a page of metrics in a file, for programs that end before anybody could scrape them: node_exporter's textfile
 * collector reads FILE.prom of a folder (https://github.com/prometheus/node_exporter#textfile-collector).
 *
 * Whoever reads the file finds the old page or the new one, whole. One thread. */
#ifndef TANDEM_METRICS_FILE_H
#define TANDEM_METRICS_FILE_H

#include "bytes.h"
#include "err.h"

struct metrics_file;

/* Begins one beside the path, before long work is done for it: its folder must be there, and may be written to. The path is
 * untouched. On OK *out is the caller's: metrics_file_write or metrics_file_drop. REJECT "invalid": it cannot be written there. */
enum status metrics_file_open(const char *path, struct metrics_file **out, struct err *err);

/* Puts the page in the path's place, and frees the file in any case. RETRY "io": it was not done, and the old one stands. */
enum status metrics_file_write(struct metrics_file *file, const struct buf *page, struct err *err);
void metrics_file_drop(struct metrics_file *file); /* the old one stands. NULL is fine */

#endif

/* The table on a terminal, as lines, as JSON. */
#include "top.h"

#include "json.h"
#include "timestamp.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define COLUMNS       80
#define HEADING_LINES 2

void top_table_reset(struct top_table *table)
{
	arena_reset(&table->arena);
	table->count = 0;
}

void top_table_fini(struct top_table *table)
{
	mem_free(table->rows);
	arena_fini(&table->arena);
}

struct top_row *top_table_add(struct top_table *table, const char *service, int32_t partition)
{
	table->rows = mem_realloc(table->rows, (table->count + 1) * sizeof *table->rows);
	struct top_row *row = &table->rows[table->count++];
	*row = (struct top_row){.service = service,
	                        .state = "",
	                        .wrong = "",
	                        .partition = partition,
	                        .next_offset = -1,
	                        .per_second = -1,
	                        .lag = -1,
	                        .behind_ms = -1,
	                        .latency_us = -1};
	return row;
}

/* ---- texts ---- */

static const char *number_text(struct top_table *table, int64_t number)
{
	return number < 0 ? "-" : arena_format(&table->arena, "%lld", (long long)number);
}

static const char *age_text(struct top_table *table, int64_t ms)
{
	if (ms < 0)
		return "-";
	if (ms < 10000)
		return arena_format(&table->arena, "%lld ms", (long long)ms);
	return ms < 600000 ? arena_format(&table->arena, "%lld s", (long long)ms / 1000)
	                   : arena_format(&table->arena, "%lld min", (long long)ms / 60000);
}

static const char *latency_text(struct top_table *table, int64_t us)
{
	if (us >= 0 && us < 10000)
		return arena_format(&table->arena, "%.1f ms", (double)us / 1000);
	return age_text(table, us < 0 ? us : us / 1000);
}

static const char *line_text(struct top_table *table, const char *const cells[8])
{
	if (table->remote)
		return arena_format(&table->arena, "%-9s %4s  %-11s %9s %9s %8s %8s  %s", cells[0], cells[1], cells[2],
		                    cells[3], cells[4], cells[5], cells[6], cells[7]);
	return arena_format(&table->arena, "%-12s %4s  %-11s %10s %10s %9s  %s", cells[0], cells[1], cells[2], cells[3],
	                    cells[4], cells[5], cells[7]);
}

static const char *row_text(struct top_table *table, const struct top_row *row)
{
	if (row->silent)
		return arena_format(&table->arena, "%-9s %4s  %-11s %s", *row->service ? row->service : "-",
		                    number_text(table, row->partition), row->state, row->wrong);
	return line_text(table, (const char *const[]){row->service, number_text(table, row->partition), row->state,
	                                              number_text(table, row->per_second), number_text(table, row->lag),
	                                              age_text(table, row->behind_ms),
	                                              latency_text(table, row->latency_us), row->wrong});
}

static const char *heading(struct top_table *table)
{
	return line_text(table, (const char *const[]){"SERVICE", "PART", "STATE", "RECORDS/S", "LAG", "BEHIND",
	                                              "LATENCY", "WRONG"});
}

static const char *totals(struct top_table *table, const struct seam *seam)
{
	char time[TIMESTAMP_TEXT_BYTES];
	int64_t per_second = 0, lag = 0;
	size_t known = 0, halted = 0, running = 0;
	for (size_t i = 0; i < table->count; i++) {
		const struct top_row *row = &table->rows[i];
		per_second += row->per_second > 0 ? row->per_second : 0;
		lag += row->lag > 0 ? row->lag : 0;
		known += row->partition >= 0;
		running += row->running;
		halted += row->halted;
	}
	return arena_format(&table->arena, "%s  %zu partitions, %zu running, %zu halted, %lld/s, lag %lld",
	                    timestamp_text(seam_wall_ms(seam), time), known, running, halted, (long long)per_second,
	                    (long long)lag);
}

/* Nothing that a file or a page holds can drive the terminal, or break the table. */
static void put_printable(const char *text, size_t columns)
{
	for (size_t i = 0; text[i] && i < columns; i++)
		putchar(text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?');
}

/* ---- on a terminal ---- */

static void put_line(const char *text, size_t columns)
{
	put_printable(text, columns);
	fputs("\033[K\n", stdout);
}

void top_show_on_terminal(struct top_table *table, const struct seam *seam)
{
	struct winsize size = {0};
	size_t columns = COLUMNS, lines = 24;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col && size.ws_row) {
		columns = size.ws_col;
		lines = size.ws_row;
	}
	size_t room = lines > HEADING_LINES + 2 ? lines - HEADING_LINES - 2 : 1;
	fputs("\033[H", stdout);
	put_line(totals(table, seam), columns);
	put_line(heading(table), columns);
	for (size_t i = 0; i < table->count && i < room; i++)
		put_line(row_text(table, &table->rows[i]), columns);
	if (table->count > room)
		put_line(arena_format(&table->arena, "and %zu more: name a service, or make the window higher",
		                      table->count - room),
		         columns);
	fputs("\033[J", stdout);
}

/* ---- elsewhere ---- */

static void put_plain(const char *text)
{
	size_t len = strlen(text);
	while (len && text[len - 1] == ' ')
		len--;
	put_printable(text, len);
	putchar('\n');
}

void top_show_plainly(struct top_table *table, const struct seam *seam)
{
	put_plain(totals(table, seam));
	put_plain(heading(table));
	for (size_t i = 0; i < table->count; i++)
		put_plain(row_text(table, &table->rows[i]));
}

static json_t *unless_negative(int64_t number)
{
	return number < 0 ? json_null() : json_integer(number);
}

static json_t *text_or_null(const char *text)
{
	json_t *json = text && *text ? json_string(text) : NULL; /* NULL: no UTF-8 either */
	return json ? json : json_null();
}

static json_t *row_json(const struct top_table *table, const struct top_row *row, int64_t now_ms)
{
	json_t *json = json_object();
	json_object_set_new(json, "ts_ms", json_integer(now_ms));
	json_object_set_new(json, "service", text_or_null(row->service));
	json_object_set_new(json, "partition", unless_negative(row->partition));
	json_object_set_new(json, "state", text_or_null(row->state));
	json_object_set_new(json, "next_offset", unless_negative(row->next_offset));
	json_object_set_new(json, "records_per_second", unless_negative(row->per_second));
	json_object_set_new(json, "lag", unless_negative(row->lag));
	json_object_set_new(json, "behind_ms", unless_negative(row->behind_ms));
	if (table->remote) {
		json_object_set_new(json, "latency_us", unless_negative(row->latency_us));
		json_object_set_new(json, "url", text_or_null(row->url));
	}
	json_object_set_new(json, "wrong", text_or_null(row->wrong));
	return json;
}

void top_show_json(const struct top_table *table, const struct seam *seam)
{
	int64_t now_ms = seam_wall_ms(seam);
	for (size_t i = 0; i < table->count; i++)
		json_print_line(stdout, row_json(table, &table->rows[i], now_ms));
}

/* The texts of all sources are gathered first, the highest source's win, and only those are converted: a value that
 * nobody uses is no error. Names are always checked. */
#include "config_private.h"

#include "bytes.h"
#include "command.h"
#include "interrupt.h"
#include "nearest.h"
#include "timestamp.h"
#include "version.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX_BYTES 65536
#define LONG_BASE      256 /* getopt's value of the long option of entry i; short ones have their letter */

static void complain(const struct config_state *state, const char *format, va_list args)
{
	fprintf(stderr, "%s: ", state->name);
	vfprintf(stderr, format, args);
	fprintf(stderr, "\nTry '%s --help'.\n", state->name);
}

bool config_complain(const struct config_state *state, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	complain(state, format, args);
	va_end(args);
	return false;
}

int config_misuse(const struct config *config, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	complain(config->state, format, args);
	va_end(args);
	return EXIT_USAGE;
}

int config_no_operands(const struct config *config)
{
	return config->rest_count ? config_misuse(config, "found '%s', expected options alone", config->rest[0]) : -1;
}

/* ---- the table ---- */

/* Room doubles, at counts that are a power of two: a long file must not take the square of its lines. */
static void list_add(struct config_state *state, struct config_list *list, const char *text)
{
	const char **items = list->items;
	if ((list->count & (list->count - 1)) == 0) {
		items = arena_alloc(&state->arena, (list->count ? 2 * list->count : 1) * sizeof *items);
		if (list->count)
			memcpy(items, list->items, list->count * sizeof *items);
	}
	items[list->count++] = text;
	list->items = items;
}

/* The lowercase words that the usage line begins with: "tandem publish". */
static const char *program_name(struct config_state *state)
{
	const char *usage = state->program->usage;
	size_t len = strcspn(usage, "[<-ABCDEFGHIJKLMNOPQRSTUVWXYZ.");
	while (len && usage[len - 1] == ' ')
		len--;
	return arena_copy(&state->arena, usage, len);
}

static void table_build(struct config_state *state, struct config *config)
{
	const struct config_program *program = state->program;
	struct config_option options[] = {
		{.name = "log",
	         .kind = CONFIG_TEXT,
	         .value = &config->log,
	         .placeholder = "URL",
	         .help = "the log: kafka://HOST:PORT,... or local:DIR"},
		{.name = "brokers",
	         .letter = 'b',
	         .kind = CONFIG_TEXT,
	         .value = &state->brokers,
	         .placeholder = "HOST,...",
	         .help = "the same as --log kafka://HOST,..."},
		{.name = "namespace",
	         .kind = CONFIG_TEXT,
	         .value = &config->name_space,
	         .placeholder = "NAME",
	         .help = "put NAME. before every topic and group"},
		{.name = "property",
	         .letter = 'X',
	         .kind = CONFIG_LIST,
	         .placeholder = "NAME=VALUE",
	         .help = "set a librdkafka property; NAME-file=PATH takes the value from a file"},
		{.name = "secret-file",
	         .kind = CONFIG_TEXT,
	         .value = &config->secret_file,
	         .placeholder = "PATH",
	         .help = "the installation's secret, where its chains are keyed"},
		{.name = "log-level",
	         .kind = CONFIG_CHOICE,
	         .value = &state->log_level,
	         .choices = logging_levels,
	         .placeholder = "LEVEL",
	         .help = "write lines of this level and above"},
		{.name = "log-format",
	         .kind = CONFIG_CHOICE,
	         .value = &state->log_format,
	         .choices = logging_formats,
	         .placeholder = "FORMAT",
	         .help = "auto: text on a terminal, else json"},
		{.name = "config",
	         .kind = CONFIG_TEXT,
	         .value = &state->file,
	         .placeholder = "FILE",
	         .help = "read settings from FILE, 'name = value' lines"},
		{.name = "print-config",
	         .kind = CONFIG_FLAG,
	         .value = &state->print,
	         .help = "print the effective settings, secrets redacted, and exit"},
		{.name = "help",
	         .letter = 'h',
	         .kind = CONFIG_FLAG,
	         .value = &state->help,
	         .help = "print this and exit"},
		{.name = "version",
	         .letter = 'V',
	         .kind = CONFIG_FLAG,
	         .value = &state->version,
	         .help = "print the version and exit"},
	};
	enum { COMMON = sizeof options / sizeof *options, OF_LOG = 5, PROPERTY = 3 };
	struct config_option *common = arena_alloc(&state->arena, sizeof options);
	memcpy(common, options, sizeof options);
	state->count = program->option_count + COMMON;
	state->entries = arena_alloc(&state->arena, state->count * sizeof *state->entries);
	for (size_t i = 0; i < program->option_count; i++)
		state->entries[i] = (struct config_entry){.option = &program->options[i]};
	for (size_t i = 0; i < COMMON; i++)
		state->entries[program->option_count + i] =
			(struct config_entry){.option = &common[i],
		                              .common = true,
		                              .hidden = program->no_log && i < OF_LOG,
		                              .merged = i == PROPERTY};
}

static const char *entry_name(const void *table, size_t i)
{
	const struct config_state *state = table;
	return i < state->count ? state->entries[i].option->name : NULL;
}

static struct config_entry *entry_named(struct config_state *state, const char *name, size_t len)
{
	for (size_t i = 0; i < state->count; i++) {
		const char *candidate = state->entries[i].option->name;
		if (strlen(candidate) == len && memcmp(candidate, name, len) == 0)
			return &state->entries[i];
	}
	return NULL;
}

static void entry_add(struct config_state *state, struct config_entry *entry, enum config_source source,
                      const char *text)
{
	if (entry->merged) {
		list_add(state, &state->properties[source], text);
		return;
	}
	if (source < entry->source)
		return;
	struct config_list texts = {entry->texts, entry->count};
	if (source > entry->source || entry->option->kind != CONFIG_LIST)
		texts.count = 0;
	list_add(state, &texts, text);
	entry->texts = texts.items;
	entry->count = texts.count;
	entry->source = source;
}

/* ---- sources ---- */

/* At most size bytes of a file. NULL: *len were read; else what is wrong. */
static const char *read_bytes(FILE *file, char *bytes, size_t size, size_t *len)
{
	*len = fread(bytes, 1, size, file);
	return ferror(file)             ? strerror(errno)
	       : *len > FILE_MAX_BYTES  ? "larger than 64 KiB"
	       : memchr(bytes, 0, *len) ? "holds a NUL byte"
	                                : NULL;
}

const char *config_read_file(struct config_state *state, const char *path)
{
	FILE *file = fopen(path, "r");
	if (!file) {
		config_complain(state, "%s: %s", path, strerror(errno));
		return NULL;
	}
	size_t len;
	char *bytes = mem_alloc(FILE_MAX_BYTES + 1), *text = NULL;
	const char *wrong = read_bytes(file, bytes, FILE_MAX_BYTES + 1, &len);
	fclose(file);
	while (len && (bytes[len - 1] == '\n' || bytes[len - 1] == '\r'))
		len--;
	if (wrong)
		config_complain(state, "%s: %s", path, wrong);
	else
		text = arena_copy(&state->arena, bytes, len);
	mem_free(bytes);
	return text;
}

/* "name", or "name-file" of a secret, and its text. False: there is no such name, or the file cannot be read. */
static bool take_named(struct config_state *state, const char *name, const char *text, enum config_source source,
                       bool *known)
{
	size_t len = strlen(name);
	struct config_entry *entry = entry_named(state, name, len);
	*known = true;
	if (!entry && len > 5 && strcmp(name + len - 5, "-file") == 0) {
		entry = entry_named(state, name, len - 5);
		if (entry && !entry->option->secret)
			entry = NULL;
		if (entry && !(text = config_read_file(state, text)))
			return false;
	}
	*known = entry != NULL;
	if (entry)
		entry_add(state, entry, source, text);
	return entry != NULL;
}

static char *trim(char *text)
{
	while (isspace((unsigned char)*text))
		text++;
	size_t len = strlen(text);
	while (len && isspace((unsigned char)text[len - 1]))
		text[--len] = 0;
	return text;
}

static bool take_file_line(struct config_state *state, char *line, int number)
{
	line = trim(line);
	if (!*line || *line == '#')
		return true;
	char *equals = strchr(line, '=');
	bool known;
	if (!equals)
		return config_complain(state, "%s:%d: found '%s', expected 'name = value'", state->file, number, line);
	*equals = 0;
	const char *name = trim(line);
	if (take_named(state, name, trim(equals + 1), FROM_FILE, &known))
		return true;
	if (known)
		return false;
	const char *near = nearest(name, entry_name, state);
	return config_complain(state, "%s:%d: '%s' is no setting of this command%s%s%s", state->file, number, name,
	                       near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static bool take_file(struct config_state *state)
{
	struct config_entry *entry = entry_named(state, "config", strlen("config"));
	if (!entry->count)
		return true;
	state->file = entry->texts[0];
	const char *text = config_read_file(state, state->file);
	if (!text)
		return false;
	int number = 1;
	char *rest = arena_copy(&state->arena, text, strlen(text)), *line;
	while ((line = strsep(&rest, "\n"))) {
		if (!take_file_line(state, line, number++))
			return false;
	}
	return true;
}

static const char *env_name(const char *prefix, const char *name, const char *suffix, struct arena *arena)
{
	char *text = arena_format(arena, "%s%s%s", prefix, name, suffix);
	for (char *c = text; *c; c++)
		*c = (char)(*c == '-' ? '_' : toupper((unsigned char)*c));
	return text;
}

static void take_environment_text(struct config_state *state, struct config_entry *entry, const char *text)
{
	char *copy = arena_copy(&state->arena, text, strlen(text)), *item;
	if (entry->option->kind != CONFIG_LIST) {
		entry_add(state, entry, FROM_ENVIRONMENT, copy);
		return;
	}
	while ((item = strsep(&copy, ",")))
		entry_add(state, entry, FROM_ENVIRONMENT, trim(item));
}

static bool take_environment(struct config_state *state)
{
	for (size_t i = 0; i < state->count; i++) {
		struct config_entry *entry = &state->entries[i];
		const struct config_option *option = entry->option;
		if (entry->merged || option->value == &state->help || option->value == &state->version ||
		    option->value == &state->print)
			continue;
		const char *text = getenv(env_name("TANDEM_", option->name, "", &state->arena));
		if (text)
			take_environment_text(state, entry, text);
		const char *path =
			option->secret ? getenv(env_name("TANDEM_", option->name, "_FILE", &state->arena)) : NULL;
		if (!text && path) {
			text = config_read_file(state, path);
			if (!text)
				return false;
			take_environment_text(state, entry, text);
		}
	}
	return true;
}

/* ---- flags ---- */

struct flags {
	struct option *longs; /* entry i at i; behind them NAME-file of secrets */
	size_t *entries;      /* whose a long option is */
	size_t count;
	char *shorts;
};

static void flags_add(struct flags *flags, const char *name, int has_arg, size_t entry)
{
	flags->longs[flags->count] = (struct option){name, has_arg, NULL, LONG_BASE + (int)flags->count};
	flags->entries[flags->count++] = entry;
}

static void flags_build(struct config_state *state, struct flags *flags)
{
	struct buf shorts = {0};
	flags->longs = arena_alloc(&state->arena, (2 * state->count + 1) * sizeof *flags->longs);
	flags->entries = arena_alloc(&state->arena, 2 * state->count * sizeof *flags->entries);
	buf_putf(&shorts, ":");
	for (size_t i = 0; i < state->count; i++) {
		const struct config_option *option = state->entries[i].option;
		bool flag = option->kind == CONFIG_FLAG;
		flags_add(flags, option->name, flag ? optional_argument : required_argument, i);
		if (option->letter)
			buf_putf(&shorts, "%c%s", option->letter, flag ? "" : ":");
	}
	for (size_t i = 0; i < state->count; i++) {
		if (state->entries[i].option->secret)
			flags_add(flags, arena_format(&state->arena, "%s-file", state->entries[i].option->name),
			          required_argument, i);
	}
	flags->longs[flags->count] = (struct option){0};
	flags->shorts = arena_copy(&state->arena, buf_text(&shorts), shorts.len);
	buf_fini(&shorts);
}

static bool unknown_flag(struct config_state *state, const char *word)
{
	if (strncmp(word, "--", 2) != 0)
		return config_complain(state, "unknown option '-%c'", optopt);
	size_t len = strcspn(word + 2, "=");
	const char *name = arena_copy(&state->arena, word + 2, len), *near = nearest(name, entry_name, state);
	return config_complain(state, "unknown or ambiguous option '--%s'%s%s%s", name,
	                       near ? "; did you mean '--" : "", near ? near : "", near ? "'?" : "");
}

static bool take_flag(struct config_state *state, const struct flags *flags, int found)
{
	size_t at = 0;
	if (found >= LONG_BASE) {
		size_t index = (size_t)(found - LONG_BASE);
		at = flags->entries[index];
		if (index >= state->count) { /* NAME-file */
			const char *text = config_read_file(state, optarg);
			if (text)
				entry_add(state, &state->entries[at], FROM_FLAG, text);
			return text != NULL;
		}
	} else {
		while (state->entries[at].option->letter != found)
			at++;
	}
	entry_add(state, &state->entries[at], FROM_FLAG, optarg ? optarg : "true");
	return true;
}

static bool take_flags(struct config_state *state, struct config *config, int argc, char **argv)
{
	struct flags flags = {0};
	int found;
	flags_build(state, &flags);
	opterr = 0;
	optind = 0; /* glibc: start anew */
	while ((found = getopt_long(argc, argv, flags.shorts, flags.longs, NULL)) != -1) {
		const char *word = argv[optind > 0 ? optind - 1 : 0];
		if (found == ':' && optopt >= LONG_BASE)
			return config_complain(state, "option '--%s' needs a value",
			                       flags.longs[optopt - LONG_BASE].name);
		if (found == ':')
			return config_complain(state, "option '-%c' needs a value", optopt);
		if (found == '?')
			return unknown_flag(state, word);
		if (!take_flag(state, &flags, found))
			return false;
	}
	config->rest = (const char **)&argv[optind];
	config->rest_count = (size_t)(argc - optind);
	return true;
}

/* ---- values ---- */

static bool parse_int(const char *text, int64_t *value, const char **end)
{
	char *stop;
	errno = 0;
	long long number = strtoll(text, &stop, 10);
	if (errno || stop == text || isspace((unsigned char)*text))
		return false;
	*value = number;
	*end = stop;
	return true;
}

static bool parse_duration(const char *text, int64_t *ms)
{
	static const struct {
		const char *unit;
		int64_t ms;
	} units[] = {{"", 1}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
	const char *unit;
	int64_t number;
	if (!parse_int(text, &number, &unit) || number < 0)
		return false;
	for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
		if (strcmp(unit, units[i].unit) == 0)
			return !__builtin_mul_overflow(number, units[i].ms, ms);
	}
	return false;
}

static bool parse_flag(const char *text, bool *value)
{
	static const char *const words[] = {"false", "true", "no", "yes", "0", "1", "off", "on"};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		if (strcmp(text, words[i]) == 0) {
			*value = i % 2;
			return true;
		}
	}
	return false;
}

static bool parse_choice(const struct config_option *option, const char *text)
{
	for (int i = 0; option->choices[i]; i++) {
		if (strcmp(option->choices[i], text) == 0) {
			*(int *)option->value = i;
			return true;
		}
	}
	return false;
}

static const char *choices_text(const struct config_option *option, struct arena *arena)
{
	const char *text = "";
	for (size_t i = 0; option->choices[i]; i++)
		text = arena_format(arena, "%s%s%s", text, i ? ", " : "", option->choices[i]);
	return text;
}

static bool in_range(const struct config_option *option, int64_t value)
{
	return (option->min == 0 && option->max == 0) || (value >= option->min && value <= option->max);
}

/* What the entry's option expects, for messages. */
static const char *expected(struct config_state *state, const struct config_option *option)
{
	struct arena *arena = &state->arena;
	bool any = option->min == 0 && option->max == 0;
	switch (option->kind) {
	case CONFIG_FLAG:
		return "true or false";
	case CONFIG_CHOICE:
		return arena_format(arena, "one of %s", choices_text(option, arena));
	case CONFIG_DURATION:
		return any ? "a duration such as 250ms, 10s, 5m, 2h"
		           : arena_format(arena,
		                          "a duration such as 250ms, 10s, 5m, 2h, from %" PRId64 " to %" PRId64 " ms",
		                          option->min, option->max);
	case CONFIG_INT:
		return any ? "a whole number"
		           : arena_format(arena, "a whole number from %" PRId64 " to %" PRId64, option->min,
		                          option->max);
	case CONFIG_TIME:
		return "milliseconds since 1970 or ISO 8601 such as 2026-11-23T04:27:40Z";
	case CONFIG_TEXT:
	case CONFIG_LIST:
		break;
	}
	return "text";
}

static const char *source_text(struct config_state *state, const struct config_entry *entry)
{
	const char *name = entry->option->name;
	switch (entry->source) {
	case FROM_FLAG:
		return arena_format(&state->arena, "--%s", name);
	case FROM_ENVIRONMENT:
		return env_name("TANDEM_", name, "", &state->arena);
	default:
		return arena_format(&state->arena, "%s in %s", name, state->file);
	}
}

static bool convert(struct config_state *state, struct config_entry *entry)
{
	const struct config_option *option = entry->option;
	const char *text = entry->texts[entry->count - 1], *end = "";
	int64_t number = 0;
	bool good = true;
	switch (option->kind) {
	case CONFIG_FLAG:
		good = parse_flag(text, option->value);
		break;
	case CONFIG_CHOICE:
		good = parse_choice(option, text);
		break;
	case CONFIG_INT:
		good = parse_int(text, &number, &end) && !*end && in_range(option, number);
		break;
	case CONFIG_DURATION:
		good = parse_duration(text, &number) && in_range(option, number);
		break;
	case CONFIG_TIME:
		good = timestamp_parse(text, &number);
		*(struct config_time *)option->value = (struct config_time){good, number};
		break;
	case CONFIG_TEXT:
		*(const char **)option->value = text;
		break;
	case CONFIG_LIST:
		*(struct config_list *)option->value = (struct config_list){entry->texts, entry->count};
		break;
	}
	if (!good)
		return config_complain(state, "%s: found '%s', expected %s", source_text(state, entry),
		                       option->secret ? "(redacted)" : text, expected(state, option));
	if (option->kind == CONFIG_INT || option->kind == CONFIG_DURATION)
		*(int64_t *)option->value = number;
	return true;
}

static bool convert_all(struct config_state *state)
{
	for (size_t i = 0; i < state->count; i++) {
		if (state->entries[i].count && !state->entries[i].hidden && !convert(state, &state->entries[i]))
			return false;
	}
	return true;
}

/* -b HOST is --log kafka://HOST; between the two the higher source wins. */
static bool settle_log(struct config_state *state, struct config *config)
{
	struct config_entry *log = entry_named(state, "log", strlen("log"));
	struct config_entry *brokers = entry_named(state, "brokers", strlen("brokers"));
	if (!state->brokers || brokers->hidden)
		return true;
	if (log->count && log->source == brokers->source)
		return config_complain(state,
		                       "found both --log and -b, expected one of them: -b HOST is --log kafka://HOST");
	if (log->count && log->source > brokers->source)
		return true;
	config->log = arena_format(&state->arena, "kafka://%s", state->brokers);
	log->source = brokers->source;
	log->count = 1;
	return true;
}

static bool valid_name_space(const char *name)
{
	return strlen(name) <= 100 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == strlen(name);
}

static bool parse(struct config_state *state, struct config *config, int argc, char **argv)
{
	if (!take_flags(state, config, argc, argv) || !take_environment(state))
		return false;
	struct config_entry *help = entry_named(state, "help", strlen("help"));
	struct config_entry *version = entry_named(state, "version", strlen("version"));
	if (help->count || version->count) /* before anything that may be wrong */
		return convert(state, help->count ? help : version);
	if (!take_file(state) || !convert_all(state) || !settle_log(state, config))
		return false;
	if (!valid_name_space(config->name_space))
		return config_complain(state,
		                       "--namespace: found '%s', expected at most 100 letters, digits, '-' and '_'",
		                       config->name_space);
	config->logging = (struct logging_config){.level = (enum logging_level)state->log_level,
	                                          .format = (enum logging_format)state->log_format};
	return state->program->no_log || config_properties(state, config);
}

void config_parse(const struct config_program *program, int argc, char **argv, struct config *config, int *exit_status)
{
	struct config_state *state = mem_zalloc(1, sizeof *state);
	*config = (struct config){.name_space = "", .state = state};
	*exit_status = -1;
	state->program = program;
	state->log_level = LOGGING_INFO;
	state->name = program_name(state);
	table_build(state, config);
	if (!parse(state, config, argc, argv)) {
		*exit_status = EXIT_USAGE;
	} else if (state->help || state->version || state->print) {
		if (state->help)
			config_help(state);
		else if (state->version)
			printf("%s %s\n", state->name, tandem_version);
		else
			config_print(state, config);
		*exit_status = EXIT_DONE;
	}
	if (*exit_status >= 0)
		config_free(config);
}

void config_free(struct config *config)
{
	if (config->state) {
		arena_fini(&config->state->arena);
		mem_free(config->state);
	}
	*config = (struct config){0};
}

int config_run(const struct config_program *program, int argc, char **argv, config_main *run, void *arg)
{
	struct config config;
	int exit_status;
	config_parse(program, argc, argv, &config, &exit_status);
	if (exit_status >= 0)
		return exit_status;
	interrupt_install();
	exit_status = run(&config, arg);
	config_free(&config);
	return exit_status;
}

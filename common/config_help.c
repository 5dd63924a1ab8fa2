/* --help and --print-config, from the same table. */
#include "config_private.h"

#include "bytes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define HELP_COLUMN 30

static void put_choices(const struct config_option *option)
{
	fputs(": ", stdout);
	for (size_t i = 0; option->choices[i]; i++)
		printf("%s%s", i ? ", " : "", option->choices[i]);
}

static void put_duration(int64_t ms)
{
	if (ms && ms % 60000 == 0)
		printf("%" PRId64 "m", ms / 60000);
	else if (ms && ms % 1000 == 0)
		printf("%" PRId64 "s", ms / 1000);
	else
		printf("%" PRId64 "ms", ms);
}

static bool put_list(const struct config_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		printf("%s%s", i ? "," : "", list->items[i]);
	return list->count > 0;
}

/* The value, as it would be given. False: there is none. */
static bool put_value(const struct config_option *option)
{
	const struct config_time *time;
	const char *text;
	switch (option->kind) {
	case CONFIG_FLAG:
		fputs(*(bool *)option->value ? "true" : "false", stdout);
		return true;
	case CONFIG_INT:
		printf("%" PRId64, *(int64_t *)option->value);
		return true;
	case CONFIG_DURATION:
		put_duration(*(int64_t *)option->value);
		return true;
	case CONFIG_CHOICE:
		fputs(option->choices[*(int *)option->value], stdout);
		return true;
	case CONFIG_TEXT:
		text = *(const char **)option->value;
		if (text)
			fputs(option->secret ? "(redacted)" : text, stdout);
		return text != NULL;
	case CONFIG_TIME:
		time = option->value;
		if (time->given)
			printf("%" PRId64, time->ms);
		return time->given;
	case CONFIG_LIST:
		return put_list(option->value);
	}
	return false;
}

static bool has_default(const struct config_option *option)
{
	const char *const *text = option->value;
	switch (option->kind) {
	case CONFIG_FLAG:
		return false;
	case CONFIG_TEXT:
		return *text && **text && !option->secret;
	case CONFIG_LIST:
		return option->value && ((const struct config_list *)option->value)->count && !option->secret;
	case CONFIG_TIME:
		return ((const struct config_time *)option->value)->given;
	default:
		return true;
	}
}

static void help_option(const struct config_entry *entry)
{
	const struct config_option *option = entry->option;
	struct buf left = {0};
	if (option->letter)
		buf_putf(&left, "  -%c, --%s", option->letter, option->name);
	else
		buf_putf(&left, "      --%s", option->name);
	if (option->placeholder)
		buf_putf(&left, " %s", option->placeholder);
	printf("%-*s %s%s", HELP_COLUMN, buf_text(&left),
	       left.len >= HELP_COLUMN ? "\n                               " : "", option->help);
	buf_fini(&left);
	if (option->kind == CONFIG_CHOICE)
		put_choices(option);
	if (option->secret)
		printf(" (or --%s-file PATH)", option->name);
	if (has_default(option) && !entry->merged) {
		fputs(" (default ", stdout);
		put_value(option);
		fputs(")", stdout);
	}
	fputs("\n", stdout);
}

static void help_options(const struct config_state *state, bool common)
{
	for (size_t i = 0; i < state->count; i++) {
		if (state->entries[i].common == common && !state->entries[i].hidden)
			help_option(&state->entries[i]);
	}
}

void config_help(const struct config_state *state)
{
	const struct config_program *program = state->program;
	printf("usage: %s\n\n%s\n", program->usage, program->summary);
	if (program->option_count) {
		puts("\noptions:");
		help_options(state, false);
	}
	puts("\ncommon options:");
	help_options(state, true);
	printf("\nexamples:\n%s%s", program->examples,
	       program->examples[strlen(program->examples) - 1] == '\n' ? "" : "\n");
	puts("\nEvery option is also read from the environment (TANDEM_NAME, dashes as underscores) and from the "
	     "--config\n"
	     "file; a flag wins over the environment, the environment over the file.\n"
	     "exit status: 0 done, 1 failed, 2 wrong usage or configuration, 3 done in part, 4 state differs.");
}

static void print_list(const struct config_option *option)
{
	const struct config_list *list = option->value;
	for (size_t i = 0; i < list->count; i++)
		printf("%s = %s\n", option->name, option->secret ? "(redacted)" : list->items[i]);
}

static bool printable(const struct config_state *state, const struct config_option *option)
{
	const void *value = option->value;
	return value != &state->help && value != &state->version && value != &state->print &&
	       value != &state->brokers && value != &state->file;
}

static bool is_unset(const struct config_option *option)
{
	return (option->kind == CONFIG_TEXT && !*(const char **)option->value) ||
	       (option->kind == CONFIG_TIME && !((const struct config_time *)option->value)->given);
}

void config_print(const struct config_state *state, const struct config *config)
{
	static const char *const sources[] = {"default", "file", "environment", "flag"};
	for (size_t i = 0; i < state->count; i++) {
		const struct config_entry *entry = &state->entries[i];
		const struct config_option *option = entry->option;
		if (entry->hidden || !printable(state, option))
			continue;
		if (entry->source != FROM_DEFAULT)
			printf("# from the %s\n", sources[entry->source]);
		if (entry->merged) {
			config_print_properties(config);
		} else if (option->kind == CONFIG_LIST) {
			print_list(option);
		} else {
			bool unset = is_unset(option);
			printf("%s%s = ", unset ? "#" : "", option->name);
			put_value(option);
			fputs("\n", stdout);
		}
	}
}

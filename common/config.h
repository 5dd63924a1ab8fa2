/* config: flags, environment and file, in one table a program.
 *
 * Precedence: flag, then environment (TANDEM_<NAME>, dashes as underscores), then --config FILE (`name = value` lines, a line
 * that begins with # is a comment, the flags' long names), then the default in the variable. A list is taken from one of them as
 * a whole (in the environment: separated by commas). A secret may also come as NAME-file / TANDEM_NAME_FILE.
 * librdkafka's properties are merged by name: `-X name=value`, TANDEM_X_<NAME> (dots as underscores), `property = name=value`
 * in the file; `name-file` (TANDEM_X_<NAME>_FILE) takes the value from a file.
 * A program declares its own options beside the common ones; --help, --version and --print-config come from the same table,
 * and so does docs/reference.md. getopt_long does the parsing. */
#ifndef TANDEM_CONFIG_H
#define TANDEM_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "log.h"
#include "logging.h"

enum config_kind {
	CONFIG_FLAG,     /* bool * */
	CONFIG_INT,      /* int64_t *, min..max */
	CONFIG_TEXT,     /* const char ** */
	CONFIG_LIST,     /* struct config_list *: may be given several times */
	CONFIG_DURATION, /* int64_t * in milliseconds; "250ms", "10s", "5m", "2h" or a bare number of ms */
	CONFIG_CHOICE,   /* int *: the index in choices */
	CONFIG_TIME,     /* struct config_time *; as timestamp_parse has it */
};

struct config_time {
	bool given;
	int64_t ms; /* since 1970 */
};

struct config_list {
	const char **items;
	size_t count;
};

struct config_option {
	const char *name; /* long name */
	char letter;      /* short, or 0 */
	enum config_kind kind;
	void *value;                /* where it goes; holds the default before */
	int64_t min, max;           /* CONFIG_INT and CONFIG_DURATION; both 0: any */
	const char *placeholder;    /* "N", "DIR", ... ; NULL for a flag */
	const char *help;           /* one line */
	bool secret;                /* never printed, and may come as NAME-file */
	const char *const *choices; /* CONFIG_CHOICE; NULL behind the last */
};

/* What every program that touches a log takes. Strings live until config_free. */
struct config {
	const char *log;              /* --log URL, TANDEM_LOG, -b H = kafka://H */
	const char *name_space;       /* --namespace; "" for none */
	const char *secret_file;      /* --secret-file; NULL: none */
	struct log_setting *settings; /* -X name=value, merged and checked */
	size_t setting_count;
	struct logging_config logging; /* --log-level, --log-format; for logging_new */
	const char **rest;             /* operands behind the options */
	size_t rest_count;
	struct config_state *state;
};

struct config_program {
	const char *usage;    /* "tandem publish [options] FILE..." */
	const char *summary;  /* a sentence or two */
	const char *examples; /* lines with two spaces before; required */
	const struct config_option *options;
	size_t option_count;
	bool no_log; /* the program touches no log: no common options for it */
};

/* Parses. On OK the program goes on. *exit_status >= 0: it ends with it (help was printed: 0; usage error, said on stderr:
 * 2), and nothing is left to free. `-X` of a setting that the protocol rests on is refused with the reason. Not thread-safe
 * (getopt is not). */
void config_parse(const struct config_program *program, int argc, char **argv, struct config *config, int *exit_status);
void config_free(struct config *config);

/* The whole of a command's main: parses, lets SIGINT and SIGTERM ask it to stop (interrupt.h), runs it with arg, frees. Returns
 * the exit status: run's, or the one that parsing has ended it with. */
typedef int config_main(const struct config *config, void *arg);
int config_run(const struct config_program *program, int argc, char **argv, config_main *run, void *arg);

/* Says on stderr what is wrong with settings or operands, and where help is. Returns EXIT_USAGE. */
int config_misuse(const struct config *config, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* -1, or EXIT_USAGE with the reason said: there is an operand, and the program takes none. */
int config_no_operands(const struct config *config);

/* Options that are called the same in every program that has them. */
#define CONFIG_JSON_OPTION(to, text)                                                                                   \
	{                                                                                                              \
		.name = "json", .letter = 'J', .kind = CONFIG_FLAG, .value = (to), .help = (text)                      \
	}
#define CONFIG_DRY_RUN_OPTION(to, text)                                                                                \
	{                                                                                                              \
		.name = "dry-run", .letter = 'n', .kind = CONFIG_FLAG, .value = (to), .help = (text)                   \
	}
#define CONFIG_DATA_OPTION(to)                                                                                         \
	{                                                                                                              \
		.name = "data", .letter = 'd', .kind = CONFIG_TEXT, .value = (to), .placeholder = "DIR",               \
		.help = "folder of the task files"                                                                     \
	}
#define CONFIG_DATA_LIST_OPTION(to)                                                                                    \
	{                                                                                                              \
		.name = "data", .letter = 'd', .kind = CONFIG_LIST, .value = (to), .placeholder = "DIR",               \
		.help = "folder of task files; may be given several times"                                             \
	}
#define CONFIG_PARTITION_OPTION(to, text)                                                                              \
	{                                                                                                              \
		.name = "partition", .letter = 'p', .kind = CONFIG_INT, .value = (to), .min = -1, .max = INT32_MAX,    \
		.placeholder = "N", .help = (text)                                                                     \
	}
#define CONFIG_KEY_OPTION(to)                                                                                          \
	{                                                                                                              \
		.name = "key", .kind = CONFIG_TEXT, .value = (to), .placeholder = "KEY",                               \
		.help = "only records with this key"                                                                   \
	}
#define CONFIG_PATIENCE_OPTION(to, text)                                                                               \
	{                                                                                                              \
		.name = "timeout", .kind = CONFIG_DURATION, .value = (to), .min = 100, .max = 86400000,                \
		.placeholder = "TIME", .help = (text)                                                                  \
	}

/* May librdkafka's property be set? NULL: yes. Else why not: the protocol rests on it. */
const char *config_property_refused(const char *name, const char *value, int librdkafka_version);

/* The exit status of a program that err has ended: 2 where it is how the program was set up (a secret or credentials that are not
 * the right ones, a librdkafka property), else 1. */
int config_exit_status(const struct err *err);

/* Opens the log that --log names, with the secret of --secret-file. Says on stderr what is wrong and returns NULL; *exit_status is set then. */
struct log *config_open_log(const struct config *config, int *exit_status);

#endif

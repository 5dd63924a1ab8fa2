/* Between config.c, config_property.c and config_help.c; nobody else includes it. */
#ifndef TANDEM_CONFIG_PRIVATE_H
#define TANDEM_CONFIG_PRIVATE_H

#include "config.h"
#include "mem.h"

/* Where a value comes from; the highest wins. */
enum config_source { FROM_DEFAULT, FROM_FILE, FROM_ENVIRONMENT, FROM_FLAG };

/* One option and the texts of the highest source that named it. */
struct config_entry {
	const struct config_option *option;
	enum config_source source;
	const char **texts;
	size_t count;
	bool common; /* one of every program's */
	bool merged; /* -X: not the highest source's alone counts */
	bool hidden; /* known, so that a shared file may hold it, but without effect in this program */
};

struct config_state {
	struct arena arena; /* every string that is not from argv */
	const struct config_program *program;
	const char *name; /* "tandem publish", for messages */
	struct config_entry *entries;
	size_t count;
	/* where the common options' values go */
	const char *file, *brokers;
	struct config_list properties[FROM_FLAG + 1]; /* by source; all of them count */
	int log_level, log_format;
	bool help, version, print;
};

/* Says what is wrong on stderr. Always false. */
bool config_complain(const struct config_state *state, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A whole small file as text without its last newlines, in the arena; NULL: said on stderr. */
const char *config_read_file(struct config_state *state, const char *path);

/* Merges the properties of file, environment and flags into config->settings, and checks them. */
bool config_properties(struct config_state *state, struct config *config);
void config_print_properties(const struct config *config);

void config_help(const struct config_state *state);
void config_print(const struct config_state *state, const struct config *config);

#endif

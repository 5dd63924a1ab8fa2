/* Settings: flags, --config FILE, librdkafka's properties. Input: words of a command line, each ended by a NUL, an empty one
 * ends them; then the file. */
#include "config.h"
#include "fuzz.h"

#include <stdio.h>
#include <string.h>

#define PER_BYTE  64
#define BASE      (512 * 1024)
#define WORDS_MAX 64

static const char *const colours[] = {"red", "green", NULL};

static ssize_t swallow(void *arg, const char *bytes, size_t len)
{
	(void)arg;
	(void)bytes;
	return (ssize_t)len;
}

/* What is said to people goes nowhere. Set up once, outside of what is measured. */
static FILE *nowhere(void)
{
	static FILE *sink;
	if (!sink)
		sink = fopencookie(NULL, "w", (cookie_io_functions_t){.write = swallow});
	FUZZ_MUST(sink, "no sink");
	setvbuf(sink, NULL, _IONBF, 0);
	return sink;
}

static void parse(int argc, char **argv)
{
	bool flag = false;
	int64_t number = 7, duration = 8;
	int colour = 0;
	const char *text = NULL, *secret = NULL;
	struct config_list list = {0};
	struct config_time when = {0};
	const struct config_option options[] = {
		{.name = "flag", .letter = 'f', .kind = CONFIG_FLAG, .value = &flag, .help = "a flag"},
		{.name = "number",
	         .letter = 'n',
	         .kind = CONFIG_INT,
	         .value = &number,
	         .min = 1,
	         .max = 9,
	         .placeholder = "N",
	         .help = "a number"},
		{.name = "text", .kind = CONFIG_TEXT, .value = &text, .placeholder = "TEXT", .help = "a text"},
		{.name = "secret",
	         .kind = CONFIG_TEXT,
	         .value = &secret,
	         .placeholder = "TEXT",
	         .secret = true,
	         .help = "a secret"},
		{.name = "list",
	         .letter = 'l',
	         .kind = CONFIG_LIST,
	         .value = &list,
	         .placeholder = "ITEM",
	         .help = "a list"},
		{.name = "duration",
	         .kind = CONFIG_DURATION,
	         .value = &duration,
	         .placeholder = "TIME",
	         .help = "a time"},
		{.name = "when", .kind = CONFIG_TIME, .value = &when, .placeholder = "TIME", .help = "a point in time"},
		{.name = "colour",
	         .kind = CONFIG_CHOICE,
	         .value = &colour,
	         .choices = colours,
	         .placeholder = "COLOUR",
	         .help = "a colour"},
	};
	const struct config_program program = {.usage = "tandem fuzz [options] FILE...",
	                                       .summary = "Takes any settings.",
	                                       .examples = "  tandem fuzz -f",
	                                       .options = options,
	                                       .option_count = sizeof options / sizeof *options};
	struct config config;
	int exit_status;
	config_parse(&program, argc, argv, &config, &exit_status);
	FUZZ_MUST(exit_status == -1 || exit_status == 0 || exit_status == 2, "%d", exit_status);
	if (exit_status >= 0)
		return;
	FUZZ_MUST(number >= 1 && number <= 9 && duration >= 0 && colour >= 0 && colour < 2, "out of range");
	for (size_t i = 0; i < config.setting_count; i++)
		FUZZ_MUST(!config_property_refused(config.settings[i].name, config.settings[i].value,
		                                   log_kafka_version()),
		          "%s", config.settings[i].name);
	for (size_t i = 0; i < list.count; i++)
		FUZZ_MUST(list.items[i], "an item that is none");
	config_free(&config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = {data, data + size};
	char *argv[WORDS_MAX + 4] = {"tandem-fuzz", "--config"};
	char *words = mem_alloc(size + 1), *at = words;
	int argc = 3;
	if (size)
		memcpy(words, data, size);
	words[size] = 0;
	for (; at < words + size && *at && argc < WORDS_MAX + 3; at += strlen(at) + 1)
		argv[argc++] = at;
	input.at += at < words + size ? at - words + !*at : (ptrdiff_t)size;
	const char *path = fuzz_file(input.at, fuzz_left(&input));
	argv[2] = (char *)(uintptr_t)path;
	FILE *err = stderr, *out = stdout;
	FILE *sink = nowhere();
	stderr = stdout = sink;
	memory_begin();
	parse(argc, argv);
	size_t peak = memory_end();
	stderr = err;
	stdout = out;
	FUZZ_WITHIN("settings", peak, size, PER_BYTE, BASE);
	mem_free(words);
	return 0;
}

/* tandem: one program, its commands in a table made from the files of producers/ and consumers/. */
#include "command.h"
#include "nearest.h"
#include "service.h"
#include "service_main.h"
#include "version.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

static const char *command_name(const void *names, size_t i)
{
	(void)names;
	return i < command_count ? commands[i]->name : NULL;
}

static const char *summary_of(const struct command *command)
{
	return command->summary ? command->summary : command->service ? command->service->summary : "";
}

static void help(FILE *out)
{
	fputs("usage: tandem COMMAND [options]\n\n"
	      "Event-driven services over Kafka, or over a log on this machine: publish events, run workers, replay "
	      "topics.\n\n"
	      "commands:\n",
	      out);
	for (size_t i = 0; i < command_count; i++)
		fprintf(out, "  %-11s %s\n", commands[i]->name, summary_of(commands[i]));
	fputs("\n'tandem COMMAND --help' tells more of each. 'tandem --version' says which build this is.\n", out);
}

/* Results that did not reach stdout (a full disk) are no success. */
static int run(const struct command *command, int argc, char **argv)
{
	int status = command->service ? service_main(command->service, argc, argv) : command->main(argc, argv);
	if ((fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_DONE) {
		perror("tandem: standard output");
		return EXIT_FAILED;
	}
	return status;
}

static int unknown(const char *name)
{
	const char *near = nearest(name, command_name, NULL);
	fprintf(stderr, "tandem: there is no command '%s'", name);
	if (near)
		fprintf(stderr, "; did you mean '%s'?", near);
	fputs("\nTry 'tandem --help'.\n", stderr);
	return EXIT_USAGE;
}

/* jemalloc reads this where it is linked (ALLOCATOR of the Makefile); what the environment's MALLOC_CONF says wins. One arena; pages
 * that nobody uses go back to the system after a tenth of a second, and no thread of its own does that; threads keep little of
 * what they give back. As it comes, jemalloc takes a quarter more memory. */
extern const char *malloc_conf;
const char *malloc_conf = "narenas:1,dirty_decay_ms:100,muzzy_decay_ms:0,tcache_max:4096,tcache_nslots_small_max:100,"
			  "oversize_threshold:0,thp:never";

/* glibc's malloc, where that is linked. One arena for the program, one for the threads of its libraries: with one a thread, what one
 * thread takes and another gives back stays where nobody takes it again. */
#define ARENAS_MAX 2

int main(int argc, char **argv)
{
	mallopt(M_ARENA_MAX, ARENAS_MAX);
	if (argc < 2) {
		help(stderr);
		return EXIT_USAGE;
	}
	const char *name = argv[1];
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
		help(stdout);
		return EXIT_DONE;
	}
	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
		printf("tandem %s\n", tandem_version);
		return EXIT_DONE;
	}
	for (size_t i = 0; i < command_count; i++) {
		if (strcmp(commands[i]->name, name) == 0)
			return run(commands[i], argc - 1, argv + 1);
	}
	return unknown(name);
}

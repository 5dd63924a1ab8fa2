#include "service_main.h"

#include "command.h"

int service_main(const struct service *service, int argc, char **argv)
{
	(void)service;
	(void)argc;
	(void)argv;
	return EXIT_USAGE;
}

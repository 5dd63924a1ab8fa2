#include "command.h"

#include "service.h"

#include <string.h>

const struct service *command_service(const char *name)
{
	for (size_t i = 0; i < command_count; i++) {
		const struct service *service = commands[i]->service;
		if (service && strcmp(service->name, name) == 0)
			return service;
	}
	return NULL;
}

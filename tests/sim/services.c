/* The simulator's own table of commands: the services as they are, or as they are where they hold the keys of what they reject.
 * Whatever looks a service up, audit and dlq too, finds it here. */
#include "sim.h"

#include "command.h"
#include "service.h"

extern const struct command inventory_command, order_command, revenue_command;

static struct service services[SIM_SERVICES];
static struct command workers[SIM_SERVICES];

const struct command *const commands[] = {&workers[SIM_INVENTORY], &workers[SIM_ORDER], &revenue_command};
const size_t command_count = sizeof commands / sizeof *commands;

static void choose(int number, const struct command *command, bool holds)
{
	services[number] = *command->service;
	services[number].holds_rejected_keys = holds;
	workers[number] = *command;
	workers[number].service = &services[number];
}

void services_choose(const struct plan *plan)
{
	choose(SIM_ORDER, &order_command, plan->holds[SIM_ORDER]);
	choose(SIM_INVENTORY, &inventory_command, plan->holds[SIM_INVENTORY]);
}

const struct service *world_service(int service)
{
	return &services[service];
}

/* Finds a command by its name in any case: an open-addressed table of folded names, one per engine. */
#include <string.h>
#include "engine.h"

/* Up to eight bytes of a name in lower case, as a number. Against a name of letters only, a name of the same
 * length has the same number exactly if it is the same word but for case, as far as these bytes go. */
static uint64_t fold(nx_slice name) {
  uint64_t folded = 0;
  if (name.length >= 8) {
    memcpy(&folded, name.data, 8);
  } else if (name.length >= 4) {
    uint32_t first;
    uint32_t last;
    memcpy(&first, name.data, 4);
    memcpy(&last, name.data + name.length - 4, 4);
    folded = (uint64_t)last << 32 | first;
  } else if (name.length > 0) {
    folded = (uint64_t)name.data[0] | (uint64_t)name.data[name.length / 2] << 8 |
             (uint64_t)name.data[name.length - 1] << 16;
  }
  return folded | 0x2020202020202020u;
}

static uint32_t lookup_place(uint64_t folded, uint64_t length) {
  return (uint32_t)(((folded + length) * 0x9e3779b97f4a7c15u) >> 56);
}
_Static_assert(NX_COMMAND_LOOKUP_SIZE == 1u << (64 - 56), "lookup_place yields eight bits");

void nx_command_lookup_build(nx_resp *engine) {
  memset(engine->lookup, 0, sizeof engine->lookup);
  const nx_command *commands = engine->backend->commands;
  for (uint32_t index = 0; index < engine->backend->command_count; index++) {
    nx_slice name = {(const uint8_t *)commands[index].name, strlen(commands[index].name)};
    if (memchr(name.data, '|', name.length) != NULL) continue;
    uint64_t folded = fold(name);
    uint32_t place = lookup_place(folded, name.length);
    while (engine->lookup[place].index != 0) place = (place + 1) % NX_COMMAND_LOOKUP_SIZE;
    engine->lookup[place].folded = folded;
    engine->lookup[place].length = (uint8_t)name.length;
    engine->lookup[place].index = (uint8_t)(index + 1);
  }
}

const nx_command *nx_command_find(const nx_resp *engine, nx_slice name) {
  uint64_t folded = fold(name);
  uint32_t place = lookup_place(folded, name.length);
  for (; engine->lookup[place].index != 0; place = (place + 1) % NX_COMMAND_LOOKUP_SIZE) {
    if (engine->lookup[place].folded != folded || engine->lookup[place].length != name.length) continue;
    const nx_command *command = &engine->backend->commands[engine->lookup[place].index - 1];
    if (name.length <= 8 || nx_word_is(name, command->name)) return command;
  }
  return NULL;
}

const nx_command *nx_subcommand_find(const nx_resp *engine, const nx_command *container, nx_slice name) {
  uint64_t prefix = strlen(container->name);
  const nx_command *end = engine->backend->commands + engine->backend->command_count;
  for (const nx_command *command = container + 1; command < end; command++) {
    if (strncmp(command->name, container->name, prefix) != 0 || command->name[prefix] != '|') return NULL;
    if (nx_word_is(name, command->name + prefix + 1)) return command;
  }
  return NULL;
}

bool nx_word_is(nx_slice argument, const char *word) {
  for (uint64_t index = 0; index < argument.length; index++) {
    uint8_t byte = argument.data[index];
    if (byte >= 'A' && byte <= 'Z') byte |= 0x20;
    if (word[index] == 0 || byte != (uint8_t)word[index]) return false;
  }
  return word[argument.length] == 0;
}

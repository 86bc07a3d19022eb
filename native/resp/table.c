/*
 * The command table: the one place that says which commands exist, how many arguments they take, and what
 * they may do. Names, arities, flags and key positions are those that Redis 7.0.15 reports in COMMAND INFO,
 * so that clients which route or check by them see no difference. Subcommands follow their container.
 */
#include <string.h>
#include "commands.h"

/* name, arity, flags, first key, last key, step, function */
const nx_command nx_commands[] = {
  {"set", -3, COMMAND_WRITE | COMMAND_DENYOOM, 1, 1, 1, nx_command_set},
  {"get", 2, COMMAND_READONLY | COMMAND_FAST, 1, 1, 1, nx_command_get},
  {"getset", 3, COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST, 1, 1, 1, nx_command_getset},
  {"getdel", 2, COMMAND_WRITE | COMMAND_FAST, 1, 1, 1, nx_command_getdel},
  {"getex", -2, COMMAND_WRITE | COMMAND_FAST, 1, 1, 1, nx_command_getex},
  {"setnx", 3, COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST, 1, 1, 1, nx_command_setnx},
  {"setex", 4, COMMAND_WRITE | COMMAND_DENYOOM, 1, 1, 1, nx_command_setex},
  {"psetex", 4, COMMAND_WRITE | COMMAND_DENYOOM, 1, 1, 1, nx_command_psetex},
  {"mset", -3, COMMAND_WRITE | COMMAND_DENYOOM, 1, -1, 2, nx_command_mset},
  {"msetnx", -3, COMMAND_WRITE | COMMAND_DENYOOM, 1, -1, 2, nx_command_msetnx},
  {"mget", -2, COMMAND_READONLY | COMMAND_FAST, 1, -1, 1, nx_command_mget},
  {"append", 3, COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST, 1, 1, 1, nx_command_append},
  {"strlen", 2, COMMAND_READONLY | COMMAND_FAST, 1, 1, 1, nx_command_strlen},
  {"getrange", 4, COMMAND_READONLY, 1, 1, 1, nx_command_getrange},
  {"substr", 4, COMMAND_READONLY, 1, 1, 1, nx_command_getrange},
  {"setrange", 4, COMMAND_WRITE | COMMAND_DENYOOM, 1, 1, 1, nx_command_setrange},
  {"incr", 2, COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST, 1, 1, 1, nx_command_incr},
  {"decr", 2, COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST, 1, 1, 1, nx_command_decr},
  {"incrby", 3, COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST, 1, 1, 1, nx_command_incrby},
  {"decrby", 3, COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST, 1, 1, 1, nx_command_decrby},
  {"incrbyfloat", 3, COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST, 1, 1, 1, nx_command_incrbyfloat},
  {"del", -2, COMMAND_WRITE, 1, -1, 1, nx_command_del},
  {"unlink", -2, COMMAND_WRITE | COMMAND_FAST, 1, -1, 1, nx_command_del},
  {"exists", -2, COMMAND_READONLY | COMMAND_FAST, 1, -1, 1, nx_command_exists},
  {"type", 2, COMMAND_READONLY | COMMAND_FAST, 1, 1, 1, nx_command_type},
  {"rename", 3, COMMAND_WRITE, 1, 2, 1, nx_command_rename},
  {"renamenx", 3, COMMAND_WRITE | COMMAND_FAST, 1, 2, 1, nx_command_renamenx},
  {"touch", -2, COMMAND_READONLY | COMMAND_FAST, 1, -1, 1, nx_command_touch},
  {"randomkey", 1, COMMAND_READONLY, 0, 0, 0, nx_command_randomkey},
  {"keys", 2, COMMAND_READONLY, 0, 0, 0, nx_command_keys},
  {"scan", -2, COMMAND_READONLY, 0, 0, 0, nx_command_scan},
  {"dbsize", 1, COMMAND_READONLY | COMMAND_FAST, 0, 0, 0, nx_command_dbsize},
  {"flushdb", -1, COMMAND_WRITE, 0, 0, 0, nx_command_flushdb},
  {"flushall", -1, COMMAND_WRITE, 0, 0, 0, nx_command_flushall},
  {"expire", -3, COMMAND_WRITE | COMMAND_FAST, 1, 1, 1, nx_command_expire},
  {"pexpire", -3, COMMAND_WRITE | COMMAND_FAST, 1, 1, 1, nx_command_pexpire},
  {"expireat", -3, COMMAND_WRITE | COMMAND_FAST, 1, 1, 1, nx_command_expireat},
  {"pexpireat", -3, COMMAND_WRITE | COMMAND_FAST, 1, 1, 1, nx_command_pexpireat},
  {"ttl", 2, COMMAND_READONLY | COMMAND_FAST, 1, 1, 1, nx_command_ttl},
  {"pttl", 2, COMMAND_READONLY | COMMAND_FAST, 1, 1, 1, nx_command_pttl},
  {"expiretime", 2, COMMAND_READONLY | COMMAND_FAST, 1, 1, 1, nx_command_expiretime},
  {"pexpiretime", 2, COMMAND_READONLY | COMMAND_FAST, 1, 1, 1, nx_command_pexpiretime},
  {"persist", 2, COMMAND_WRITE | COMMAND_FAST, 1, 1, 1, nx_command_persist},
  {"multi", 1, COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_FAST |
   COMMAND_ALLOW_BUSY | COMMAND_NEVER_QUEUED, 0, 0, 0, nx_command_multi},
  {"exec", 1, COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_SKIP_SLOWLOG |
   COMMAND_NEVER_QUEUED, 0, 0, 0, nx_command_exec},
  {"discard", 1, COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_FAST |
   COMMAND_ALLOW_BUSY | COMMAND_NEVER_QUEUED, 0, 0, 0, nx_command_discard},
  {"watch", -2, COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_FAST |
   COMMAND_ALLOW_BUSY | COMMAND_NEVER_QUEUED, 1, -1, 1, nx_command_watch},
  {"unwatch", 1, COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_FAST |
   COMMAND_ALLOW_BUSY, 0, 0, 0, nx_command_unwatch},
  {"select", 2, COMMAND_LOADING | COMMAND_STALE | COMMAND_FAST, 0, 0, 0, nx_command_select},
  {"ping", -1, COMMAND_FAST, 0, 0, 0, nx_command_ping},
  {"echo", 2, COMMAND_LOADING | COMMAND_STALE | COMMAND_FAST, 0, 0, 0, nx_command_echo},
  {"quit", -1, COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_FAST | COMMAND_NO_AUTH |
   COMMAND_ALLOW_BUSY | COMMAND_NEVER_QUEUED, 0, 0, 0, nx_command_quit},
  {"hello", -1, COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_FAST | COMMAND_NO_AUTH |
   COMMAND_ALLOW_BUSY | COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"auth", -2, COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_FAST | COMMAND_NO_AUTH |
   COMMAND_ALLOW_BUSY | COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"reset", 1, COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE | COMMAND_FAST | COMMAND_NO_AUTH |
   COMMAND_ALLOW_BUSY | COMMAND_ASKS_OUTSIDE | COMMAND_NEVER_QUEUED, 0, 0, 0, NULL},
  {"client", -2, COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"client|id", 2, COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE |
   COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"client|getname", 2, COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE |
   COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"client|setname", 3, COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE |
   COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"client|list", -2, COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE |
   COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"client|info", 2, COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE |
   COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"client|kill", -3, COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE |
   COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"client|help", 2, COMMAND_LOADING | COMMAND_STALE | COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"command", -1, COMMAND_LOADING | COMMAND_STALE | COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"command|count", 2, COMMAND_LOADING | COMMAND_STALE | COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"command|docs", -2, COMMAND_LOADING | COMMAND_STALE | COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"command|info", -2, COMMAND_LOADING | COMMAND_STALE | COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"command|list", -2, COMMAND_LOADING | COMMAND_STALE | COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"command|getkeys", -4, COMMAND_LOADING | COMMAND_STALE | COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"command|help", 2, COMMAND_LOADING | COMMAND_STALE | COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"config", -2, COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"config|get", -3, COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE |
   COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"config|set", -4, COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE |
   COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"config|resetstat", 2, COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE |
   COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"config|rewrite", 2, COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE |
   COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"config|help", 2, COMMAND_LOADING | COMMAND_STALE | COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"info", -1, COMMAND_LOADING | COMMAND_STALE | COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"memory", -2, 0, 0, 0, 0, NULL},
  {"memory|usage", -3, COMMAND_READONLY, 2, 2, 1, nx_command_memory_usage},
  {"memory|help", 2, COMMAND_LOADING | COMMAND_STALE | COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"latency", -2, COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"latency|latest", 2, COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE |
   COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"latency|history", 3, COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE |
   COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"latency|reset", -2, COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE |
   COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"latency|doctor", 2, COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_LOADING | COMMAND_STALE |
   COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"latency|help", 2, COMMAND_LOADING | COMMAND_STALE | COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"bgrewriteaof", 1, COMMAND_ADMIN | COMMAND_NOSCRIPT | COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"time", 1, COMMAND_LOADING | COMMAND_STALE | COMMAND_FAST, 0, 0, 0, nx_command_time},
};

const uint32_t nx_command_count_total = sizeof nx_commands / sizeof nx_commands[0];
_Static_assert(sizeof nx_commands / sizeof nx_commands[0] < 256, "the lookup holds an index in a byte");

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
  for (uint32_t index = 0; index < nx_command_count_total; index++) {
    nx_slice name = {(const uint8_t *)nx_commands[index].name, strlen(nx_commands[index].name)};
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
    const nx_command *command = &nx_commands[engine->lookup[place].index - 1];
    if (name.length <= 8 || nx_word_is(name, command->name)) return command;
  }
  return NULL;
}

const nx_command *nx_subcommand_find(const nx_command *container, nx_slice name) {
  uint64_t prefix = strlen(container->name);
  for (const nx_command *command = container + 1; command < nx_commands + nx_command_count_total; command++) {
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

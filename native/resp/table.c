/*
 * The commands of a dht node, and what stands behind them: the record store.
 *
 * The table is the one place that says which commands exist, how many arguments they take, and what
 * they may do. Names, arities, flags and key positions are those that Redis 7.0.15 reports in COMMAND INFO,
 * so that clients which route or check by them see no difference. Subcommands follow their container.
 */
#include <stdlib.h>
#include <string.h>
#include "commands.h"
#include "prefetch.h"

/* name, arity, flags, first key, last key, step, function */
static const nx_command commands[] = {
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
  {"memory", -2, 0, 0, 0, 0, NULL},
  {"memory|usage", -3, COMMAND_READONLY, 2, 2, 1, nx_command_memory_usage},
  {"memory|help", 2, COMMAND_LOADING | COMMAND_STALE | COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"select", 2, COMMAND_LOADING | COMMAND_STALE | COMMAND_FAST, 0, 0, 0, nx_command_select},
#include "shared-commands.inc"
};

_Static_assert(sizeof commands / sizeof commands[0] < 256, "the lookup holds an index in a byte");

static const nx_buffer *effects(const nx_resp *engine) { return nx_store_effects(engine->store); }

static bool find_key(nx_resp *engine, nx_resp_connection *connection, nx_slice key, int64_t *expires_at_ms) {
  nx_record record;
  if (!nx_find(engine, connection, key, &record)) return false;
  *expires_at_ms = record.expires_at_ms;
  return true;
}

static void describe_channels(nx_resp *engine) {
  for (uint32_t index = 0; index < nx_store_channel_count(engine->store); index++) {
    const nx_channel *channel = nx_store_channel_at(engine->store, index);
    nx_slice name = nx_channel_name(channel);
    uint64_t records = nx_channel_records(channel);
    if (records > 0)
      nx_describe(engine, "%.*s %llu\n", (int)name.length, name.data, (unsigned long long)records);
  }
}

static void observe(void *context, nx_channel *channel, nx_change change, nx_slice key) {
  nx_resp *engine = context;
  if (change == NX_CHANGE_CHANNEL) {
    engine->channel_epoch++;
    nx_watch_touch_channel(engine, nx_channel_name(channel));
  } else {
    nx_watch_touch(engine, nx_channel_name(channel), key);
  }
}

static void detach(nx_resp *engine) { nx_store_unobserve(engine->store, observe, engine); }

static const nx_resp_backend backend = {
    .commands = commands,
    .command_count = sizeof commands / sizeof commands[0],
    .effects = effects,
    .find_key = find_key,
    .prefetch = nx_prefetch_requests,
    .describe_channels = describe_channels,
    .detach = detach,
};

nx_resp *nx_resp_new(nx_store *store, const double *settings) {
  nx_resp *engine = nx_resp_make(&backend, settings);
  if (engine == NULL) return NULL;
  engine->store = store;
  nx_store_observe(store, observe, engine);
  return engine;
}

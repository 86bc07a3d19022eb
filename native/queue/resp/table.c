/*
 * The commands of a queue node, and what stands behind them: lists and streams. Names, arities, flags and key
 * positions are those that Redis 7.0.15 reports in COMMAND INFO. Subcommands follow their container.
 */
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "queue/internal.h"
#include "resp/commands.h"

/* name, arity, flags, first key, last key, step, function */
static const nx_command commands[] = {
  {"lpush", -3, COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST, 1, 1, 1, nx_queue_command_lpush},
  {"rpush", -3, COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST, 1, 1, 1, nx_queue_command_rpush},
  {"lpushx", -3, COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST, 1, 1, 1, nx_queue_command_lpushx},
  {"rpushx", -3, COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST, 1, 1, 1, nx_queue_command_rpushx},
  {"lpop", -2, COMMAND_WRITE | COMMAND_FAST, 1, 1, 1, nx_queue_command_lpop},
  {"rpop", -2, COMMAND_WRITE | COMMAND_FAST, 1, 1, 1, nx_queue_command_rpop},
  {"blpop", -3, COMMAND_WRITE | COMMAND_NOSCRIPT | COMMAND_BLOCKING, 1, -2, 1, nx_queue_command_blpop},
  {"brpop", -3, COMMAND_WRITE | COMMAND_NOSCRIPT | COMMAND_BLOCKING, 1, -2, 1, nx_queue_command_brpop},
  {"llen", 2, COMMAND_READONLY | COMMAND_FAST, 1, 1, 1, nx_queue_command_llen},
  {"lrange", 4, COMMAND_READONLY, 1, 1, 1, nx_queue_command_lrange},
  {"lindex", 3, COMMAND_READONLY, 1, 1, 1, nx_queue_command_lindex},
  {"ltrim", 4, COMMAND_WRITE, 1, 1, 1, nx_queue_command_ltrim},
  {"lmove", 5, COMMAND_WRITE | COMMAND_DENYOOM, 1, 2, 1, nx_queue_command_lmove},
  {"rpoplpush", 3, COMMAND_WRITE | COMMAND_DENYOOM, 1, 2, 1, nx_queue_command_rpoplpush},
  {"blmove", 6, COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_NOSCRIPT | COMMAND_BLOCKING,
   1, 2, 1, nx_queue_command_blmove},
  {"brpoplpush", 4, COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_NOSCRIPT | COMMAND_BLOCKING,
   1, 2, 1, nx_queue_command_brpoplpush},
  {"xadd", -5, COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST, 1, 1, 1, nx_queue_command_xadd},
  {"xlen", 2, COMMAND_READONLY | COMMAND_FAST, 1, 1, 1, nx_queue_command_xlen},
  {"xrange", -4, COMMAND_READONLY, 1, 1, 1, nx_queue_command_xrange},
  {"xrevrange", -4, COMMAND_READONLY, 1, 1, 1, nx_queue_command_xrevrange},
  {"xread", -4, COMMAND_READONLY | COMMAND_BLOCKING | COMMAND_MOVABLEKEYS, 0, 0, 0, nx_queue_command_xread},
  {"xdel", -3, COMMAND_WRITE | COMMAND_FAST, 1, 1, 1, nx_queue_command_xdel},
  {"xtrim", -4, COMMAND_WRITE, 1, 1, 1, nx_queue_command_xtrim},
  {"xsetid", -3, COMMAND_WRITE | COMMAND_DENYOOM | COMMAND_FAST, 1, 1, 1, nx_queue_command_xsetid},
  {"xreadgroup", -7, COMMAND_WRITE | COMMAND_BLOCKING | COMMAND_MOVABLEKEYS,
   0, 0, 0, nx_queue_command_xreadgroup},
  {"xack", -4, COMMAND_WRITE | COMMAND_FAST, 1, 1, 1, nx_queue_command_xack},
  {"xpending", -3, COMMAND_READONLY, 1, 1, 1, nx_queue_command_xpending},
  {"xclaim", -6, COMMAND_WRITE | COMMAND_FAST, 1, 1, 1, nx_queue_command_xclaim},
  {"xautoclaim", -6, COMMAND_WRITE | COMMAND_FAST, 1, 1, 1, nx_queue_command_xautoclaim},
  {"xgroup", -2, 0, 0, 0, 0, NULL},
  {"xgroup|create", -5, COMMAND_WRITE | COMMAND_DENYOOM, 2, 2, 1, nx_queue_command_xgroup_create},
  {"xgroup|setid", -5, COMMAND_WRITE, 2, 2, 1, nx_queue_command_xgroup_setid},
  {"xgroup|destroy", 4, COMMAND_WRITE, 2, 2, 1, nx_queue_command_xgroup_destroy},
  {"xgroup|createconsumer", 5, COMMAND_WRITE | COMMAND_DENYOOM,
   2, 2, 1, nx_queue_command_xgroup_createconsumer},
  {"xgroup|delconsumer", 5, COMMAND_WRITE, 2, 2, 1, nx_queue_command_xgroup_delconsumer},
  {"xgroup|help", 2, COMMAND_LOADING | COMMAND_STALE, 0, 0, 0, nx_queue_command_xgroup_help},
  {"xinfo", -2, 0, 0, 0, 0, NULL},
  {"xinfo|stream", -3, COMMAND_READONLY, 2, 2, 1, nx_queue_command_xinfo_stream},
  {"xinfo|groups", 3, COMMAND_READONLY, 2, 2, 1, nx_queue_command_xinfo_groups},
  {"xinfo|consumers", 4, COMMAND_READONLY, 2, 2, 1, nx_queue_command_xinfo_consumers},
  {"xinfo|help", 2, COMMAND_LOADING | COMMAND_STALE, 0, 0, 0, nx_queue_command_xinfo_help},
  {"del", -2, COMMAND_WRITE, 1, -1, 1, nx_queue_command_del},
  {"unlink", -2, COMMAND_WRITE | COMMAND_FAST, 1, -1, 1, nx_queue_command_del},
  {"exists", -2, COMMAND_READONLY | COMMAND_FAST, 1, -1, 1, nx_queue_command_exists},
  {"touch", -2, COMMAND_READONLY | COMMAND_FAST, 1, -1, 1, nx_queue_command_exists},
  {"type", 2, COMMAND_READONLY | COMMAND_FAST, 1, 1, 1, nx_queue_command_type},
  {"ttl", 2, COMMAND_READONLY | COMMAND_FAST, 1, 1, 1, nx_queue_command_ttl},
  {"pttl", 2, COMMAND_READONLY | COMMAND_FAST, 1, 1, 1, nx_queue_command_ttl},
  {"keys", 2, COMMAND_READONLY, 0, 0, 0, nx_queue_command_keys},
  {"scan", -2, COMMAND_READONLY, 0, 0, 0, nx_queue_command_scan},
  {"dbsize", 1, COMMAND_READONLY | COMMAND_FAST, 0, 0, 0, nx_queue_command_dbsize},
  {"randomkey", 1, COMMAND_READONLY, 0, 0, 0, nx_queue_command_randomkey},
  {"flushdb", -1, COMMAND_WRITE, 0, 0, 0, nx_queue_command_flush},
  {"flushall", -1, COMMAND_WRITE, 0, 0, 0, nx_queue_command_flush},
  {"memory", -2, 0, 0, 0, 0, NULL},
  {"memory|usage", -3, COMMAND_READONLY, 2, 2, 1, nx_queue_command_memory_usage},
  {"memory|help", 2, COMMAND_LOADING | COMMAND_STALE | COMMAND_ASKS_OUTSIDE, 0, 0, 0, NULL},
  {"select", 2, COMMAND_LOADING | COMMAND_STALE | COMMAND_FAST, 0, 0, 0, nx_queue_command_select},
#include "resp/shared-commands.inc"
};

_Static_assert(sizeof commands / sizeof commands[0] < 256, "the lookup holds an index in a byte");

static const nx_slice database = {(const uint8_t *)"0", 1};

static const nx_buffer *effects(const nx_resp *engine) { return &engine->queues->effects; }

static bool find_key(nx_resp *engine, nx_resp_connection *connection, nx_slice key, int64_t *expires_at_ms) {
  (void)connection;
  const nx_queue *queue = nx_queue_find(engine->queues, key);
  *expires_at_ms = 0;
  return queue != NULL && !nx_queue_is_empty(queue);
}

static void describe_channels(nx_resp *engine) {
  uint64_t count = 0;
  for (const nx_queue *queue = nx_queues_first(engine->queues); queue != NULL; queue = queue->next)
    count += !nx_queue_is_empty(queue);
  if (count > 0) nx_describe(engine, "0 %llu\n", (unsigned long long)count);
}

static void observe(void *context, nx_queue *queue, nx_queue_change change) {
  nx_resp *engine = context;
  /* What goes empty at a tick was gone before to everyone. */
  bool was_gone = change == NX_QUEUE_GONE && nx_queue_is_empty(queue) && !queue->is_kept;
  if (!was_gone) nx_watch_touch(engine, database, nx_queue_name(queue));
  /* Who waits for a stream that goes is told so. */
  bool concerns_waiters = change == NX_QUEUE_GREW || (change == NX_QUEUE_GONE && queue->kind == NX_QUEUE_STREAM);
  if (concerns_waiters) nx_wait_signal(engine, nx_queue_name(queue));
}

/* Nobody else can be served from a list that is empty again; a stream has something for everyone. */
static bool is_drained(nx_resp *engine, nx_slice key) {
  const nx_queue *queue = nx_queue_find(engine->queues, key);
  return queue != NULL && queue->kind == NX_QUEUE_LIST && queue->ring.count == 0;
}

static void after_command(nx_resp *engine) { nx_wait_serve(engine, is_drained); }

static void detach(nx_resp *engine) {
  nx_queues_unobserve(engine->queues, observe, engine);
  nx_waiting_drop(engine->waiting);
}

static const nx_resp_backend backend = {
    .commands = commands,
    .command_count = sizeof commands / sizeof commands[0],
    .effects = effects,
    .find_key = find_key,
    .describe_channels = describe_channels,
    .after_command = after_command,
    .leave = nx_wait_leave,
    .detach = detach,
};

nx_resp *nx_resp_queue_new(nx_queues *queues, const double *settings) {
  nx_resp *engine = nx_resp_make(&backend, settings);
  if (engine == NULL) return NULL;
  engine->queues = queues;
  engine->waiting = nx_waiting_make();
  nx_queues_observe(queues, observe, engine);
  return engine;
}

/* See waiting.h. */
#include "waiting.h"

#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "reply.h"

#define BUCKETS 1024u /* a power of two */

/* One key that a connection waits for; those of one bucket in the order of their coming. */
typedef struct nx_wait_key {
  struct nx_wait_key *previous, *next;
  nx_waiter *waiter;
  uint64_t hash;
  nx_slice name; /* in the waiter's bytes */
} nx_wait_key;

struct nx_waiter {
  nx_waiter *previous, *next; /* of all that wait */
  nx_waiter *next_woken;
  nx_resp_connection *connection;
  const nx_command *command;
  double deadline_ms; /* 0: none */
  bool is_served;
  nx_buffer reply;
  uint8_t *bytes; /* arguments, then names of keys */
  uint64_t bytes_counted;
  uint32_t argc, key_count;
  nx_slice *argv;
  nx_wait_key *keys;
};

typedef struct {
  nx_wait_key *first, *last;
} bucket;

struct nx_waiting {
  bucket buckets[BUCKETS];
  nx_waiter *first, *last;
  nx_waiter *woken_first, *woken_last;
  uint32_t count, woken_count;
  double deadline_ms; /* not above that of any waiter; 0: none has one */
  nx_buffer signalled; /* u32 length and name of each */
  bool is_serving;
  /* While a command is run again. */
  nx_slice only;
  bool is_again;
  bool is_still_waiting;
};

nx_waiting *nx_waiting_make(void) {
  nx_waiting *waiting = calloc(1, sizeof *waiting);
  NX_ASSERT(waiting != NULL);
  return waiting;
}

void nx_waiting_drop(nx_waiting *waiting) {
  NX_ASSERT(waiting->count == 0 && waiting->woken_count == 0);
  nx_buffer_free(&waiting->signalled);
  free(waiting);
}

static uint64_t hash_of(const nx_resp *engine, nx_slice key) {
  uint64_t hash = 0xcbf29ce484222325u ^ engine->settings[NX_RESP_SEED];
  for (uint64_t index = 0; index < key.length; index++) hash = (hash ^ key.data[index]) * 0x100000001b3u;
  return hash ^ hash >> 29;
}

static bool is_same(nx_slice left, nx_slice right) {
  return left.length == right.length &&
         (left.length == 0 || memcmp(left.data, right.data, left.length) == 0);
}

bool nx_may_wait(const nx_resp *engine, const nx_resp_connection *connection) {
  return engine->waiting->is_again || connection->transaction == NULL;
}

bool nx_is_again(const nx_resp *engine) { return engine->waiting->is_again; }

bool nx_is_passed_over(const nx_resp *engine, nx_slice key) {
  return engine->waiting->is_again && !is_same(engine->waiting->only, key);
}

/* --- joining and leaving -------------------------------------------------------------------------------- */

static void link_key(nx_waiting *waiting, nx_wait_key *key) {
  bucket *of = &waiting->buckets[key->hash & (BUCKETS - 1)];
  key->previous = of->last;
  if (of->last != NULL) of->last->next = key;
  else of->first = key;
  of->last = key;
}

static void unlink_key(nx_waiting *waiting, nx_wait_key *key) {
  bucket *of = &waiting->buckets[key->hash & (BUCKETS - 1)];
  if (key->previous != NULL) key->previous->next = key->next;
  else of->first = key->next;
  if (key->next != NULL) key->next->previous = key->previous;
  else of->last = key->previous;
}

static nx_slice keep_slice(uint8_t **at, nx_slice slice) {
  if (slice.length > 0) memcpy(*at, slice.data, slice.length);
  nx_slice kept = {*at, slice.length};
  *at += slice.length;
  return kept;
}

static nx_waiter *waiter_make(nx_resp *engine, const nx_slice *keys, uint32_t count, uint64_t bytes) {
  nx_waiter *waiter = calloc(1, sizeof *waiter);
  NX_ASSERT(waiter != NULL);
  waiter->bytes = malloc(bytes + 1);
  waiter->argv = calloc(engine->argc, sizeof *waiter->argv);
  waiter->keys = calloc(count, sizeof *waiter->keys);
  NX_ASSERT(waiter->bytes != NULL && waiter->argv != NULL && waiter->keys != NULL);
  waiter->argc = engine->argc;
  waiter->key_count = count;
  uint8_t *at = waiter->bytes;
  for (uint32_t index = 0; index < engine->argc; index++)
    waiter->argv[index] = keep_slice(&at, engine->argv[index]);
  for (uint32_t index = 0; index < count; index++) {
    nx_wait_key *key = &waiter->keys[index];
    key->name = keep_slice(&at, keys[index]);
    key->hash = hash_of(engine, key->name);
    key->waiter = waiter;
    link_key(engine->waiting, key);
  }
  return waiter;
}

void nx_wait(nx_resp *engine, nx_resp_connection *connection, const nx_slice *keys, uint32_t count,
             double deadline_ms) {
  nx_waiting *waiting = engine->waiting;
  if (waiting->is_again) {
    waiting->is_still_waiting = true;
    return;
  }
  uint64_t bytes = 0;
  for (uint32_t index = 0; index < engine->argc; index++) bytes += engine->argv[index].length;
  for (uint32_t index = 0; index < count; index++) bytes += keys[index].length;
  uint64_t counted = bytes + sizeof(nx_waiter) + engine->argc * sizeof(nx_slice) + count * sizeof(nx_wait_key);
  if (engine->input_bytes + counted > engine->settings[NX_RESP_INPUT_BYTES_MAX]) {
    nx_reply_error(engine, "ERR too many blocked clients on this server");
    return;
  }
  engine->input_bytes += counted;
  nx_waiter *waiter = waiter_make(engine, keys, count, bytes);
  waiter->bytes_counted = counted;
  waiter->connection = connection;
  waiter->command = &engine->backend->commands[connection->last_command - 1];
  waiter->deadline_ms = deadline_ms;
  if (deadline_ms != 0 && (waiting->deadline_ms == 0 || deadline_ms < waiting->deadline_ms))
    waiting->deadline_ms = deadline_ms;
  waiter->previous = waiting->last;
  if (waiting->last != NULL) waiting->last->next = waiter;
  else waiting->first = waiter;
  waiting->last = waiter;
  waiting->count += 1;
  connection->waiter = waiter;
  engine->stop |= NX_RESP_BLOCKED;
}

/* No key brings it anything any more. */
static void stop_waiting(nx_waiting *waiting, nx_waiter *waiter) {
  for (uint32_t index = 0; index < waiter->key_count; index++) unlink_key(waiting, &waiter->keys[index]);
  if (waiter->previous != NULL) waiter->previous->next = waiter->next;
  else waiting->first = waiter->next;
  if (waiter->next != NULL) waiter->next->previous = waiter->previous;
  else waiting->last = waiter->previous;
  waiting->count -= 1;
}

static void waiter_free(nx_resp *engine, nx_waiter *waiter) {
  engine->input_bytes -= waiter->bytes_counted;
  nx_buffer_free(&waiter->reply);
  free(waiter->bytes);
  free(waiter->argv);
  free(waiter->keys);
  free(waiter);
}

static void take_from_woken(nx_waiting *waiting, nx_waiter *waiter) {
  nx_waiter *before = NULL;
  nx_waiter *at = waiting->woken_first;
  while (at != NULL && at != waiter) {
    before = at;
    at = at->next_woken;
  }
  if (at == NULL) return;
  if (before != NULL) before->next_woken = at->next_woken;
  else waiting->woken_first = at->next_woken;
  if (waiting->woken_last == at) waiting->woken_last = before;
  waiting->woken_count -= 1;
}

void nx_wait_leave(nx_resp *engine, nx_resp_connection *connection) {
  nx_waiter *waiter = connection->waiter;
  if (waiter->is_served) take_from_woken(engine->waiting, waiter);
  else stop_waiting(engine->waiting, waiter);
  waiter_free(engine, waiter);
  connection->waiter = NULL;
}

void nx_wait_finish(nx_resp *engine, nx_resp_connection *connection) {
  nx_waiter *waiter = connection->waiter;
  NX_ASSERT(waiter->is_served);
  take_from_woken(engine->waiting, waiter);
  nx_buffer_append(&engine->replies, waiter->reply.data, waiter->reply.length);
  waiter_free(engine, waiter);
  connection->waiter = NULL;
}

/* --- serving -------------------------------------------------------------------------------------------- */

static void wake(nx_waiting *waiting, nx_waiter *waiter) {
  stop_waiting(waiting, waiter);
  waiter->is_served = true;
  waiter->next_woken = NULL;
  if (waiting->woken_last != NULL) waiting->woken_last->next_woken = waiter;
  else waiting->woken_first = waiter;
  waiting->woken_last = waiter;
  waiting->woken_count += 1;
}

void nx_wait_signal(nx_resp *engine, nx_slice key) {
  nx_waiting *waiting = engine->waiting;
  if (waiting->count == 0) return;
  uint64_t hash = hash_of(engine, key);
  nx_wait_key *at = waiting->buckets[hash & (BUCKETS - 1)].first;
  while (at != NULL && (at->hash != hash || !is_same(at->name, key))) at = at->next;
  if (at == NULL) return;
  uint32_t length = (uint32_t)key.length;
  engine->has_signals = true;
  engine->block[NX_RESP_SIGNALS] = 1;
  nx_buffer_append(&waiting->signalled, &length, sizeof length);
  nx_buffer_append(&waiting->signalled, key.data, key.length);
}

/* Runs the waiter's command again; its reply goes to the waiter. */
static void try_again(nx_resp *engine, nx_waiter *waiter, nx_slice key) {
  nx_waiting *waiting = engine->waiting;
  nx_buffer replies = engine->replies;
  const nx_slice *argv = engine->argv;
  uint32_t argc = engine->argc, stop = engine->stop;
  uint64_t reply_start = engine->reply_start;
  engine->replies = waiter->reply;
  engine->argv = waiter->argv;
  engine->argc = waiter->argc;
  engine->reply_start = 0;
  waiting->only = key;
  waiting->is_again = true;
  waiting->is_still_waiting = false;
  waiter->command->run(engine, waiter->connection);
  waiting->is_again = false;
  if (engine->reply_too_large) {
    engine->reply_too_large = false;
    engine->replies.length = 0;
    nx_reply_error(engine, "ERR the reply would be too long: ask for less at a time");
  }
  waiter->reply = engine->replies;
  engine->replies = replies;
  engine->argv = argv;
  engine->argc = argc;
  engine->stop = stop;
  engine->reply_start = reply_start;
  if (waiting->is_still_waiting) waiter->reply.length = 0;
  else wake(waiting, waiter);
}

static void serve_key(nx_resp *engine, nx_slice key, bool (*is_drained)(nx_resp *engine, nx_slice key)) {
  nx_waiting *waiting = engine->waiting;
  uint64_t hash = hash_of(engine, key);
  nx_wait_key *at = waiting->buckets[hash & (BUCKETS - 1)].first;
  while (at != NULL && !is_drained(engine, key)) {
    nx_wait_key *next = at->next;
    /* A command may name a key twice: the next place is then gone with this one. */
    while (next != NULL && next->waiter == at->waiter) next = next->next;
    if (at->hash == hash && is_same(at->name, key)) try_again(engine, at->waiter, key);
    at = next;
  }
}

void nx_wait_serve(nx_resp *engine, bool (*is_drained)(nx_resp *engine, nx_slice key)) {
  nx_waiting *waiting = engine->waiting;
  /* A served command may bring something to another key: the loop meets it later. */
  while (waiting->signalled.length > 0 && !waiting->is_serving) {
    waiting->is_serving = true;
    nx_buffer round = waiting->signalled;
    waiting->signalled = (nx_buffer){0};
    for (uint64_t at = 0; at < round.length;) {
      uint32_t length;
      memcpy(&length, round.data + at, sizeof length);
      serve_key(engine, (nx_slice){round.data + at + sizeof length, length}, is_drained);
      at += sizeof length + length;
    }
    nx_buffer_free(&round);
    waiting->is_serving = false;
  }
  if (waiting->is_serving) return;
  engine->has_signals = false;
  engine->block[NX_RESP_SIGNALS] = 0;
}

nx_resp_connection *nx_resp_woken(nx_resp *engine) {
  nx_waiting *waiting = engine->waiting;
  return waiting == NULL || waiting->woken_first == NULL ? NULL : waiting->woken_first->connection;
}

void nx_resp_expire_blocked(nx_resp *engine, double now_ms) {
  nx_waiting *waiting = engine->waiting;
  if (waiting == NULL) return;
  double earliest = 0;
  nx_waiter *next;
  for (nx_waiter *waiter = waiting->first; waiter != NULL; waiter = next) {
    next = waiter->next;
    if (waiter->deadline_ms == 0) continue;
    if (waiter->deadline_ms <= now_ms) {
      nx_buffer_append(&waiter->reply, waiter->connection->protocol == 3 ? "_\r\n" : "*-1\r\n",
                       waiter->connection->protocol == 3 ? 3 : 5);
      wake(waiting, waiter);
    } else if (earliest == 0 || waiter->deadline_ms < earliest) {
      earliest = waiter->deadline_ms;
    }
  }
  waiting->deadline_ms = earliest;
  nx_wait_publish(engine);
}

void nx_wait_publish(nx_resp *engine) {
  engine->block[NX_RESP_WOKEN] = engine->waiting->woken_count;
  engine->block[NX_RESP_DEADLINE_MS] = engine->waiting->count == 0 ? 0 : engine->waiting->deadline_ms;
}

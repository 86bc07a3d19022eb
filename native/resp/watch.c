/*
 * WATCH: which connections lose their transaction when a key changes.
 *
 * A chained hash table over (channel name, key); each entry is also in its connection's list. Names, not
 * channel pointers, because a channel may be removed and made again while it is watched. The store tells of
 * changes before they happen; without any watch that costs one comparison per write.
 */
#include <stdlib.h>
#include <string.h>
#include "engine.h"

struct nx_watch {
  nx_watch *next_in_bucket;
  nx_watch *next_of_connection;
  nx_resp_connection *connection;
  uint64_t hash;
  int64_t expires_at_ms; /* when the key was watched; 0: never */
  bool existed;
  uint32_t channel_length;
  uint64_t key_length;
  uint8_t bytes[]; /* channel name, then key */
};

#define TABLE_SIZE_MIN 64u

static uint64_t hash_bytes(uint64_t hash, nx_slice bytes) {
  for (uint64_t index = 0; index < bytes.length; index++) hash = (hash ^ bytes.data[index]) * 0x100000001b3u;
  return hash ^ (hash >> 29);
}

/* Seeded, so that a client cannot choose keys that meet in one bucket. */
static uint64_t hash_of(const nx_resp *engine, nx_slice channel, nx_slice key) {
  uint64_t hash = 0xcbf29ce484222325u ^ engine->settings[NX_RESP_SEED];
  return hash_bytes(hash_bytes(hash, channel), key);
}

static bool equals(const nx_watch *watch, uint64_t hash, nx_slice channel, nx_slice key) {
  return watch->hash == hash && watch->channel_length == channel.length && watch->key_length == key.length &&
         memcmp(watch->bytes, channel.data, channel.length) == 0 &&
         (key.length == 0 || memcmp(watch->bytes + channel.length, key.data, key.length) == 0);
}

static void grow(nx_resp *engine) {
  uint32_t size = engine->watch_table_size == 0 ? TABLE_SIZE_MIN : engine->watch_table_size * 2;
  nx_watch **table = calloc(size, sizeof *table);
  NX_ASSERT(table != NULL);
  for (uint32_t bucket = 0; bucket < engine->watch_table_size; bucket++) {
    nx_watch *watch = engine->watch_table[bucket];
    while (watch != NULL) {
      nx_watch *next = watch->next_in_bucket;
      nx_watch **place = &table[watch->hash & (size - 1)];
      watch->next_in_bucket = *place;
      *place = watch;
      watch = next;
    }
  }
  free(engine->watch_table);
  engine->watch_table = table;
  engine->watch_table_size = size;
}

static uint64_t bytes_of(uint64_t channel_length, uint64_t key_length) {
  return sizeof(nx_watch) + channel_length + key_length;
}

bool nx_watch_add(nx_resp *engine, nx_resp_connection *connection, nx_slice key) {
  /* Looked up first: this removes a record whose time has come, which must not break the watch. */
  int64_t expires_at_ms = 0;
  bool existed = engine->backend->find_key(engine, connection, key, &expires_at_ms);
  if (engine->watch_count >= engine->watch_table_size) grow(engine);
  nx_slice channel = nx_connection_channel_name(connection);
  uint64_t hash = hash_of(engine, channel, key);
  nx_watch **place = &engine->watch_table[hash & (engine->watch_table_size - 1)];
  for (nx_watch *watch = *place; watch != NULL; watch = watch->next_in_bucket) {
    if (watch->connection == connection && equals(watch, hash, channel, key)) return true;
  }
  uint64_t bytes = bytes_of(channel.length, key.length);
  if (engine->input_bytes + bytes > engine->settings[NX_RESP_INPUT_BYTES_MAX]) return false;
  engine->input_bytes += bytes;
  nx_watch *watch = malloc(bytes);
  NX_ASSERT(watch != NULL);
  *watch = (nx_watch){.next_in_bucket = *place,
                      .next_of_connection = connection->watches,
                      .connection = connection,
                      .hash = hash,
                      .expires_at_ms = existed ? expires_at_ms : 0,
                      .existed = existed,
                      .channel_length = (uint32_t)channel.length,
                      .key_length = key.length};
  memcpy(watch->bytes, channel.data, channel.length);
  if (key.length > 0) memcpy(watch->bytes + channel.length, key.data, key.length);
  *place = watch;
  connection->watches = watch;
  engine->watch_count++;
  return true;
}

void nx_watch_clear(nx_resp *engine, nx_resp_connection *connection) {
  connection->watch_broken = false;
  while (connection->watches != NULL) {
    nx_watch *watch = connection->watches;
    nx_watch **place = &engine->watch_table[watch->hash & (engine->watch_table_size - 1)];
    while (*place != watch) place = &(*place)->next_in_bucket;
    *place = watch->next_in_bucket;
    connection->watches = watch->next_of_connection;
    engine->watch_count--;
    engine->input_bytes -= bytes_of(watch->channel_length, watch->key_length);
    free(watch);
  }
  if (engine->watch_count == 0 && engine->watch_table_size > TABLE_SIZE_MIN) {
    free(engine->watch_table);
    engine->watch_table = NULL;
    engine->watch_table_size = 0;
  }
}

const nx_watch *nx_watch_next(const nx_watch *watch) { return watch->next_of_connection; }

bool nx_watch_is_broken(const nx_resp *engine, const nx_resp_connection *connection) {
  if (connection->watch_broken) return true;
  for (const nx_watch *watch = connection->watches; watch != NULL; watch = watch->next_of_connection) {
    if (watch->expires_at_ms != 0 && watch->expires_at_ms <= engine->now_ms) return true;
  }
  return false;
}

/* A removed channel takes the keys that existed; a watch on a missing key stays whole. */
void nx_watch_touch_channel(nx_resp *engine, nx_slice channel) {
  if (engine->watch_count == 0) return;
  for (uint32_t bucket = 0; bucket < engine->watch_table_size; bucket++) {
    for (nx_watch *watch = engine->watch_table[bucket]; watch != NULL; watch = watch->next_in_bucket) {
      if (watch->existed && watch->channel_length == channel.length &&
          memcmp(watch->bytes, channel.data, channel.length) == 0) {
        watch->connection->watch_broken = true;
      }
    }
  }
}

void nx_watch_touch(nx_resp *engine, nx_slice name, nx_slice key) {
  if (engine->watch_count == 0) return;
  uint64_t hash = hash_of(engine, name, key);
  nx_watch *watch = engine->watch_table[hash & (engine->watch_table_size - 1)];
  for (; watch != NULL; watch = watch->next_in_bucket) {
    if (equals(watch, hash, name, key)) watch->connection->watch_broken = true;
  }
}

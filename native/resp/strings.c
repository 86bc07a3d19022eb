/* SET and GET in all their forms: commands that store, read or replace whole values. */
#include <errno.h>
#include "commands.h"
#include "expire.h"
#include "reply.h"

nx_channel *nx_channel_for_write(nx_resp *engine, nx_resp_connection *connection) {
  nx_channel *channel = nx_channel_of(engine, connection);
  if (channel == NULL) channel = nx_connection_channel_find(engine, connection, true);
  if (channel == NULL) nx_reply_store_error(engine, -ENOMEM);
  return channel;
}

bool nx_put(nx_resp *engine, nx_resp_connection *connection, nx_slice key, nx_slice value,
            int64_t expires_at_ms) {
  nx_channel *channel = nx_channel_for_write(engine, connection);
  if (channel == NULL) return false;
  int result = nx_channel_put(channel, key, value, expires_at_ms);
  if (result < 0) nx_reply_store_error(engine, result);
  return result >= 0;
}

typedef struct {
  bool only_new, only_existing, get;
  nx_expire_option expiry;
} set_options;

static bool read_set_options(const nx_resp *engine, set_options *options) {
  for (uint32_t index = 3; index < engine->argc; index++) {
    nx_slice word = engine->argv[index];
    if (nx_word_is(word, "nx") && !options->only_existing) options->only_new = true;
    else if (nx_word_is(word, "xx") && !options->only_new) options->only_existing = true;
    else if (nx_word_is(word, "get")) options->get = true;
    else if (!nx_expire_take(engine, &index, true, &options->expiry)) return false;
  }
  return true;
}

static void set_with(nx_resp *engine, nx_resp_connection *connection, const set_options *options) {
  nx_slice key = engine->argv[1];
  int64_t expires_at_ms = 0;
  if (options->expiry.kind > EXPIRY_PERSIST &&
      !nx_expire_moment(engine, &options->expiry, "set", &expires_at_ms)) {
    return;
  }
  nx_record old;
  bool found = nx_find(engine, connection, key, &old);
  if (options->get && found && !nx_reply_has_room(engine, old.value.length)) return;
  bool stores = !(options->only_new && found) && !(options->only_existing && !found);
  if (options->expiry.kind == EXPIRY_KEEP && found) expires_at_ms = old.expires_at_ms;
  uint64_t reply_start = engine->replies.length;
  if (options->get) {
    /* The old value is copied out before it is replaced. */
    if (found) {
      engine->hits++;
      nx_reply_bulk(engine, old.value);
    } else {
      engine->misses++;
      nx_reply_null(engine, connection);
    }
  }
  if (!stores) {
    if (!options->get) nx_reply_null(engine, connection);
    return;
  }
  uint64_t reply_end = engine->replies.length;
  if (!nx_put(engine, connection, key, engine->argv[2], expires_at_ms)) {
    uint64_t error_length = engine->replies.length - reply_end;
    memmove(engine->replies.data + reply_start, engine->replies.data + reply_end, error_length);
    engine->replies.length = reply_start + error_length;
    return;
  }
  if (!options->get) nx_reply_ok(engine);
}

NX_COMMAND(set) {
  if (engine->argc == 3) {
    if (nx_put(engine, connection, engine->argv[1], engine->argv[2], 0)) nx_reply_ok(engine);
    return;
  }
  set_options options = {0};
  if (read_set_options(engine, &options)) set_with(engine, connection, &options);
  else nx_reply_syntax_error(engine);
}

NX_COMMAND(setnx) {
  nx_record old;
  if (nx_find(engine, connection, engine->argv[1], &old)) {
    nx_reply_integer(engine, 0);
  } else if (nx_put(engine, connection, engine->argv[1], engine->argv[2], 0)) {
    nx_reply_integer(engine, 1);
  }
}

static void set_expiring(nx_resp *engine, nx_resp_connection *connection, nx_expire_kind kind,
                         const char *command) {
  nx_expire_option expiry = {kind, engine->argv[2]};
  int64_t expires_at_ms = 0;
  if (!nx_expire_moment(engine, &expiry, command, &expires_at_ms)) return;
  if (nx_put(engine, connection, engine->argv[1], engine->argv[3], expires_at_ms)) nx_reply_ok(engine);
}

NX_COMMAND(setex) { set_expiring(engine, connection, EXPIRY_EX, "setex"); }
NX_COMMAND(psetex) { set_expiring(engine, connection, EXPIRY_PX, "psetex"); }

NX_COMMAND(get) {
  nx_record record;
  if (nx_find_counted(engine, connection, engine->argv[1], &record)) nx_reply_bulk(engine, record.value);
  else nx_reply_null(engine, connection);
}

NX_COMMAND(getset) {
  set_options options = {.get = true};
  set_with(engine, connection, &options);
}

NX_COMMAND(getdel) {
  nx_record record;
  if (!nx_find_counted(engine, connection, engine->argv[1], &record)) {
    nx_reply_null(engine, connection);
    return;
  }
  if (!nx_reply_has_room(engine, record.value.length)) return;
  nx_reply_bulk(engine, record.value);
  nx_channel_remove(connection->channel, engine->argv[1], engine->now_ms);
}

NX_COMMAND(getex) {
  nx_expire_option expiry = {0};
  for (uint32_t index = 2; index < engine->argc; index++) {
    if (!nx_expire_take(engine, &index, false, &expiry)) {
      nx_reply_syntax_error(engine);
      return;
    }
  }
  nx_slice key = engine->argv[1];
  nx_record record;
  if (!nx_find_counted(engine, connection, key, &record)) {
    nx_reply_null(engine, connection);
    return;
  }
  int64_t expires_at_ms = 0;
  if (expiry.kind > EXPIRY_PERSIST && !nx_expire_moment(engine, &expiry, "getex", &expires_at_ms)) return;
  if (!nx_reply_has_room(engine, record.value.length)) return;
  nx_reply_bulk(engine, record.value);
  bool expired = expires_at_ms != 0 && expires_at_ms <= engine->now_ms;
  if (expired) {
    nx_channel_remove(connection->channel, key, engine->now_ms);
  } else if (expires_at_ms != 0 || (expiry.kind == EXPIRY_PERSIST && record.expires_at_ms != 0)) {
    nx_channel_expire(connection->channel, key, expires_at_ms, engine->now_ms);
  }
}

NX_COMMAND(mget) {
  nx_reply_array(engine, engine->argc - 1);
  for (uint32_t index = 1; index < engine->argc && !engine->reply_too_large; index++) {
    nx_record record;
    if (nx_find_counted(engine, connection, engine->argv[index], &record))
      nx_reply_bulk(engine, record.value);
    else nx_reply_null(engine, connection);
  }
}

/* An upper estimate of what a record costs beside its bytes. */
#define RECORD_OVERHEAD_BYTES 128u

/* All pairs or none: the room is checked first, then the store's limit is out of the way while they are
 * stored. */
static bool store_pairs(nx_resp *engine, nx_resp_connection *connection) {
  uint64_t limit = engine->settings[NX_RESP_MEMORY_BYTES_MAX];
  if (limit > 0) {
    nx_store_stats stats;
    nx_store_stats_read(engine->store, &stats);
    uint64_t needed = stats.memory_bytes;
    for (uint32_t index = 1; index < engine->argc; index++) {
      needed += engine->argv[index].length + RECORD_OVERHEAD_BYTES / 2;
    }
    if (needed > limit) {
      nx_reply_store_error(engine, -ENOMEM);
      return false;
    }
    nx_store_memory_limit(engine->store, 0);
  }
  bool stored = true;
  for (uint32_t index = 1; index < engine->argc && stored; index += 2) {
    stored = nx_put(engine, connection, engine->argv[index], engine->argv[index + 1], 0);
  }
  if (limit > 0) nx_store_memory_limit(engine->store, limit);
  return stored;
}

NX_COMMAND(mset) {
  if (engine->argc % 2 == 0) nx_reply_error(engine, "ERR wrong number of arguments for 'mset' command");
  else if (store_pairs(engine, connection)) nx_reply_ok(engine);
}

NX_COMMAND(msetnx) {
  if (engine->argc % 2 == 0) {
    nx_reply_error(engine, "ERR wrong number of arguments for 'msetnx' command");
    return;
  }
  for (uint32_t index = 1; index < engine->argc; index += 2) {
    nx_record record;
    if (nx_find(engine, connection, engine->argv[index], &record)) {
      nx_reply_integer(engine, 0);
      return;
    }
  }
  if (store_pairs(engine, connection)) nx_reply_integer(engine, 1);
}

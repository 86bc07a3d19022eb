/*
 * Chunks in, answers out: parses as many requests as a chunk completes, runs them, keeps what is unfinished.
 *
 * A connection owns memory only while a request is unfinished, waits behind a stop, or streams; what
 * clients can make the engine hold is counted in `input_bytes` and bounded.
 */
#include "engine.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define REPLY_BYTES_KEPT (4u << 20)
#define CONTENT_BYTES_KEPT (256u << 10)
#define EVENTS_BYTES_MAX 16384u
/* Requests looked at ahead: enough to hide the latency of memory. */
#define REQUESTS_AHEAD 16u
/* Code, a channel's name of one byte, a key. */
#define REQUEST_BYTES_MIN 37u

static bool settings_valid(const uint64_t *settings) {
  uint64_t updates = settings[NX_LEGACY_LISTEN_UPDATES_MAX];
  return settings[NX_LEGACY_BATCH_BYTES] >= 1024 && settings[NX_LEGACY_BATCH_BYTES] <= 1u << 24 &&
         settings[NX_LEGACY_ARRAY_BYTES_MAX] >= settings[NX_LEGACY_BATCH_BYTES] &&
         settings[NX_LEGACY_ARRAY_BYTES_MAX] <= 1u << 30 && updates >= 16 && updates <= 1u << 24 &&
         (updates & (updates - 1)) == 0 && settings[NX_LEGACY_REDISTRIBUTE_PERCENT] <= 1000000;
}

nx_legacy *nx_legacy_new(nx_store *store, const uint64_t *settings) {
  if (!settings_valid(settings)) return NULL;
  nx_legacy *engine = calloc(1, sizeof *engine);
  NX_ASSERT(engine != NULL);
  memcpy(engine->settings, settings, sizeof engine->settings);
  engine->store = store;
  engine->range_max = UINT64_MAX;
  nx_store_observe(store, nx_listen_observe, engine);
  return engine;
}

void nx_legacy_free(nx_legacy *engine) {
  NX_ASSERT(engine->connections == 0);
  nx_store_unobserve(engine->store, nx_listen_observe, engine);
  nx_buffer_free(&engine->replies);
  nx_buffer_free(&engine->content);
  nx_buffer_free(&engine->task);
  nx_buffer_free(&engine->events);
  free(engine);
}

const double *nx_legacy_block(const nx_legacy *engine) { return engine->block; }

void nx_legacy_set_range(nx_legacy *engine, uint64_t min, uint64_t max) {
  engine->range_min = min;
  engine->range_max = max;
}

void nx_legacy_get_range(const nx_legacy *engine, uint64_t *min_max) {
  min_max[0] = engine->range_min;
  min_max[1] = engine->range_max;
}

void nx_legacy_set_address(nx_legacy *engine, const uint8_t *address, uint64_t length, uint32_t port) {
  engine->address_length = (uint32_t)(length < sizeof engine->address ? length : sizeof engine->address);
  memcpy(engine->address, address, engine->address_length);
  engine->port = (uint16_t)port;
}

void nx_legacy_refuse_writes(nx_legacy *engine, uint32_t is_refusing) {
  engine->is_refusing = is_refusing != 0;
}

void nx_legacy_redistributed(nx_legacy *engine) { engine->is_redistributing = false; }

static void show_events(nx_legacy *engine) {
  engine->block[NX_LEGACY_EVENTS_ADDRESS] = (double)(uintptr_t)engine->events.data;
  engine->block[NX_LEGACY_EVENTS_LENGTH] = (double)engine->events.length;
}

void nx_event(nx_legacy *engine, const char *format, ...) {
  if (engine->events.length > EVENTS_BYTES_MAX) return;
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(line, sizeof line - 1, format, arguments);
  va_end(arguments);
  NX_ASSERT(length >= 0);
  if ((size_t)length > sizeof line - 2) length = sizeof line - 2;
  line[length] = '\n';
  nx_buffer_append(&engine->events, line, (uint64_t)length + 1);
  show_events(engine);
}

void nx_legacy_clear_events(nx_legacy *engine) {
  engine->events.length = 0;
  show_events(engine);
}

void nx_legacy_read_statistics(nx_legacy *engine) {
  double *block = engine->block;
  block[NX_LEGACY_REQUESTS_TOTAL] = (double)engine->requests_total;
  block[NX_LEGACY_ERRORS_TOTAL] = (double)engine->errors_total;
  block[NX_LEGACY_INPUT_BYTES] = (double)engine->input_bytes;
  block[NX_LEGACY_CONNECTIONS] = (double)engine->connections;
  block[NX_LEGACY_LISTENERS] = (double)engine->listeners;
  block[NX_LEGACY_FIGURES_ADDRESS] = (double)(uintptr_t)engine->figures.kinds;
}

nx_channel *nx_legacy_channel(nx_legacy *engine, nx_slice name) {
  if (engine->channel != NULL) {
    nx_slice known = nx_channel_name(engine->channel);
    if (known.length == name.length && memcmp(known.data, name.data, name.length) == 0)
      return engine->channel;
  }
  nx_channel *channel = nx_store_channel(engine->store, name, false);
  if (channel != NULL) engine->channel = channel;
  return channel;
}

/* --- connections ---------------------------------------------------------------------------------------- */

nx_legacy_connection *nx_legacy_connect(nx_legacy *engine) {
  nx_legacy_connection *connection = calloc(1, sizeof *connection);
  NX_ASSERT(connection != NULL);
  engine->connections += 1;
  return connection;
}

void nx_legacy_disconnect(nx_legacy *engine, nx_legacy_connection *connection) {
  if (connection->bulk != NULL) nx_bulk_drop(engine, connection);
  if (connection->listener != NULL) nx_listen_drop(engine, connection);
  engine->input_bytes -= connection->bytes_counted;
  nx_buffer_free(&connection->input);
  free(connection);
  engine->connections -= 1;
}

/* --- serving -------------------------------------------------------------------------------------------- */

/* Has the records of the next requests fetched into the cache; returns how many it covered. Only a hint. */
static uint32_t prefetch(nx_legacy *engine, const uint8_t *bytes, uint64_t length) {
  /* One request of the usual length is all there is: nothing to overlap with. */
  if (engine->channel == NULL || length < 2 * REQUEST_BYTES_MIN) return 1;
  nx_slice known = nx_channel_name(engine->channel);
  nx_slice keys[REQUESTS_AHEAD];
  uint32_t count = 0, covered = 0;
  for (uint64_t at = 0; covered < REQUESTS_AHEAD; covered++) {
    nx_legacy_request request;
    uint64_t array_max = engine->settings[NX_LEGACY_ARRAY_BYTES_MAX];
    if (nx_legacy_parse(bytes + at, length - at, array_max, array_max, &request) != NX_LEGACY_COMPLETE) break;
    at += request.length;
    if (request.key.length == NX_HEX_KEY_BYTES && request.channel.length == known.length &&
        memcmp(request.channel.data, known.data, known.length) == 0)
      keys[count++] = request.key;
  }
  if (count > 1) nx_channel_prefetch(engine->channel, keys, count);
  return covered == 0 ? 1 : covered;
}

static uint64_t skip(nx_legacy *engine, nx_legacy_connection *connection, uint64_t length) {
  uint64_t taken = connection->skip < length ? connection->skip : length;
  connection->skip -= taken;
  if (connection->skip > 0) return taken;
  if (connection->closes_after_skip) connection->is_closing = true;
  else nx_status(engine, NX_STATUS_VALUE_TOO_BIG);
  return taken;
}

/* What follows a request that cannot be read as it is. */
static void refuse(nx_legacy *engine, nx_legacy_connection *connection, nx_legacy_parsed parsed,
                   const nx_legacy_request *request) {
  if (parsed == NX_LEGACY_UNKNOWN) {
    nx_event(engine, "unknown command %u", request->code);
    nx_status(engine, NX_STATUS_INVALID_REQUEST);
    connection->is_closing = true;
    return;
  }
  connection->skip = request->skip;
  connection->closes_after_skip = parsed == NX_LEGACY_OVERSIZED;
  if (parsed == NX_LEGACY_OVERSIZED)
    nx_event(engine, "an array of %llu bytes in command %u", (unsigned long long)request->skip,
             request->code);
  if (connection->skip == 0) connection->is_closing = true;
}

/* Runs the requests that `bytes` completes. Returns how many bytes they took. */
static uint64_t serve(nx_legacy *engine, nx_legacy_connection *connection, const uint8_t *bytes,
                      uint64_t length) {
  const uint64_t array_max = engine->settings[NX_LEGACY_ARRAY_BYTES_MAX];
  const uint64_t value_max = engine->settings[NX_LEGACY_BATCH_BYTES] - 32;
  uint64_t consumed = 0;
  uint32_t ahead = 0;
  while (consumed < length && !connection->is_closing) {
    if (connection->bulk != NULL || connection->listener != NULL) break;
    if (engine->replies.length >= engine->settings[NX_LEGACY_REPLY_SOFT_BYTES_MAX]) {
      connection->is_waiting = true;
      break;
    }
    if (connection->skip > 0) {
      consumed += skip(engine, connection, length - consumed);
      continue;
    }
    if (ahead == 0) ahead = prefetch(engine, bytes + consumed, length - consumed);
    ahead -= 1;
    nx_legacy_request request;
    nx_legacy_parsed parsed =
        nx_legacy_parse(bytes + consumed, length - consumed, array_max, value_max, &request);
    if (parsed == NX_LEGACY_INCOMPLETE) break;
    engine->requests_total += 1;
    consumed += request.length;
    if (parsed == NX_LEGACY_COMPLETE) {
      nx_figures_handled(&engine->figures, request.code);
      nx_legacy_execute(engine, connection, &request);
    } else {
      refuse(engine, connection, parsed, &request);
    }
  }
  return consumed;
}

static void count_input(nx_legacy *engine, nx_legacy_connection *connection) {
  uint64_t bytes = connection->input.capacity;
  if (connection->bulk != NULL) bytes += nx_bulk_bytes(connection->bulk);
  engine->input_bytes += bytes - connection->bytes_counted;
  connection->bytes_counted = bytes;
  if (engine->input_bytes <= engine->settings[NX_LEGACY_INPUT_BYTES_MAX] || connection->is_closing) return;
  nx_event(engine, "too much unfinished input on this node");
  connection->is_closing = true;
}

/* Lets go of input that was consumed. */
static void settle(nx_legacy *engine, nx_legacy_connection *connection, uint64_t consumed) {
  nx_buffer *input = &connection->input;
  connection->start += consumed;
  if (connection->start == input->length || connection->is_closing) {
    nx_buffer_free(input);
    connection->start = 0;
  } else if (connection->start > input->length / 2) {
    memmove(input->data, input->data + connection->start, input->length - connection->start);
    input->length -= connection->start;
    connection->start = 0;
  }
  count_input(engine, connection);
}

static void serve_kept(nx_legacy *engine, nx_legacy_connection *connection) {
  connection->is_waiting = false;
  const nx_buffer *input = &connection->input;
  uint64_t length = input->length - connection->start, consumed = 0;
  if (length > 0) consumed = serve(engine, connection, input->data + connection->start, length);
  settle(engine, connection, consumed);
}

static void begin_call(nx_legacy *engine, double now_ms) {
  nx_figures_begin_call(&engine->figures);
  engine->now_ms = (int64_t)now_ms;
  engine->stop = 0;
  engine->replies.length = 0;
  if (engine->replies.capacity > REPLY_BYTES_KEPT) nx_buffer_trim(&engine->replies, REPLY_BYTES_KEPT / 2);
  if (engine->content.capacity > CONTENT_BYTES_KEPT) {
    engine->content.length = 0;
    nx_buffer_trim(&engine->content, CONTENT_BYTES_KEPT / 2);
  }
}

static uint32_t end_call(nx_legacy *engine, const nx_legacy_connection *connection) {
  nx_figures_end_call(&engine->figures);
  double *block = engine->block;
  block[NX_LEGACY_REPLY_ADDRESS] = (double)(uintptr_t)engine->replies.data;
  block[NX_LEGACY_REPLY_LENGTH] = (double)engine->replies.length;
  block[NX_LEGACY_REPLY_CAPACITY] = (double)engine->replies.capacity;
  block[NX_LEGACY_REPLY_GENERATION] = (double)engine->replies.generation;
  block[NX_LEGACY_EFFECTS_LENGTH] = (double)nx_store_effects(engine->store)->length;
  if ((engine->stop & NX_LEGACY_REDISTRIBUTE) != 0) {
    block[NX_LEGACY_TASK_ADDRESS] = (double)(uintptr_t)engine->task.data;
    block[NX_LEGACY_TASK_LENGTH] = (double)engine->task.length;
  }
  if (connection == NULL) return 0;
  if (connection->is_closing) return engine->stop | NX_LEGACY_CLOSE;
  uint32_t flags = engine->stop;
  if (connection->bulk != NULL || connection->is_waiting) flags |= NX_LEGACY_MORE;
  if (connection->listener != NULL) flags |= NX_LEGACY_LISTENING;
  return flags;
}

static bool is_stopped(const nx_legacy_connection *connection) {
  return connection->bulk != NULL || connection->listener != NULL || connection->is_waiting;
}

uint32_t nx_legacy_feed(nx_legacy *engine, nx_legacy_connection *connection, const uint8_t *chunk,
                        uint64_t length, double now_ms) {
  begin_call(engine, now_ms);
  if (connection->is_closing) return end_call(engine, connection);
  if (is_stopped(connection)) {
    nx_buffer_append(&connection->input, chunk, length);
    if (connection->input.length - connection->start > engine->settings[NX_LEGACY_ARRAY_BYTES_MAX]) {
      nx_event(engine, "more than %llu bytes sent behind a request that is not finished",
               (unsigned long long)engine->settings[NX_LEGACY_ARRAY_BYTES_MAX]);
      connection->is_closing = true;
    }
    settle(engine, connection, 0);
  } else if (connection->input.length == connection->start) {
    /* In place, without a copy of the bytes that complete requests. */
    uint64_t consumed = serve(engine, connection, chunk, length);
    if (consumed < length && !connection->is_closing)
      nx_buffer_append(&connection->input, chunk + consumed, length - consumed);
    if (connection->input.capacity != 0 || connection->bulk != NULL || connection->bytes_counted != 0)
      settle(engine, connection, 0);
  } else {
    nx_buffer_append(&connection->input, chunk, length);
    serve_kept(engine, connection);
  }
  return end_call(engine, connection);
}

uint32_t nx_legacy_resume(nx_legacy *engine, nx_legacy_connection *connection, double now_ms) {
  begin_call(engine, now_ms);
  if (connection->is_closing) return end_call(engine, connection);
  if (connection->bulk != NULL) nx_bulk_continue(engine, connection);
  if (connection->bulk == NULL && connection->listener == NULL) serve_kept(engine, connection);
  return end_call(engine, connection);
}

uint32_t nx_legacy_pump(nx_legacy *engine, nx_legacy_connection *connection, double now_ms) {
  begin_call(engine, now_ms);
  if (connection->is_closing || connection->listener == NULL) return end_call(engine, connection);
  nx_listen_continue(engine, connection);
  if (connection->listener == NULL) serve_kept(engine, connection);
  return end_call(engine, connection);
}

/* --- moving records ------------------------------------------------------------------------------------- */

typedef struct {
  nx_legacy *engine;
  uint64_t min, max;
  uint64_t visited;
  bool is_full;
} movers;

static void visit_mover(void *context, nx_slice key, const nx_record *record) {
  movers *to = context;
  nx_legacy *engine = to->engine;
  uint64_t number;
  to->visited += 1;
  if (to->is_full || !nx_hex_number(key, &number) || record->value.length == 0) return;
  if (!nx_is_in_range(number, to->min, to->max)) return;
  uint64_t size = 16 + NX_HEX_KEY_BYTES + record->value.length;
  if (record->expires_at_ms != 0 || size > engine->settings[NX_LEGACY_BATCH_BYTES]) {
    /* A batch carries neither; moved without its expiry a record would live for ever. */
    if (!engine->has_kept)
      nx_event(engine, "records that expire or that no batch holds stay here, key %.16s is one",
               (const char *)key.data);
    engine->has_kept = true;
    return;
  }
  if (engine->content.length + size > engine->settings[NX_LEGACY_BATCH_BYTES]) {
    to->is_full = true;
    return;
  }
  nx_append_array(&engine->content, key);
  nx_append_array(&engine->content, record->value);
}

void nx_legacy_migrate_begin(nx_legacy *engine) {
  engine->migrate_cursor = 0;
  engine->has_migrated = false;
  engine->has_kept = false;
}

/* Content stays in `content` until nx_legacy_migrated compares it; other calls may overwrite it, so it is
 * also kept in `task`. */
uint32_t nx_legacy_migrate(nx_legacy *engine, const uint8_t *name, uint64_t name_length, uint64_t min,
                           uint64_t max, double now_ms) {
  begin_call(engine, now_ms);
  engine->content.length = 0;
  engine->task.length = 0;
  movers to = {engine, min, max, 0, false};
  nx_slice text = {name, name_length};
  nx_channel *channel = nx_legacy_channel(engine, text);
  bool is_done = channel == NULL || engine->has_migrated;
  while (!is_done && !to.is_full && to.visited < 8192) {
    uint64_t next = nx_channel_scan(channel, engine->migrate_cursor, engine->now_ms, visit_mover, &to);
    to.visited += 1;
    if (to.is_full) break; /* the bucket is met again, without what was moved */
    engine->migrate_cursor = next;
    is_done = next == 0;
  }
  engine->has_migrated = is_done;
  uint32_t outcome = is_done ? NX_LEGACY_MIGRATED : NX_LEGACY_MIGRATE_LOOKING;
  if (engine->content.length > 0) {
    outcome = NX_LEGACY_MIGRATE_BATCH;
    nx_buffer_append(&engine->task, engine->content.data, engine->content.length);
    nx_store32(nx_reserve(&engine->replies, 4), NX_LEGACY_PUT_BATCH);
    engine->replies.length += 4;
    nx_append_array(&engine->replies, text);
    nx_batch_append(engine, &engine->replies);
  }
  end_call(engine, NULL);
  return outcome;
}

uint32_t nx_legacy_migrated(nx_legacy *engine, const uint8_t *name, uint64_t name_length, double now_ms) {
  begin_call(engine, now_ms);
  uint32_t removed = 0;
  nx_channel *channel = nx_legacy_channel(engine, (nx_slice){name, name_length});
  nx_slice key, value;
  uint64_t at = 0;
  while (channel != NULL && nx_batch_field(&engine->task, &at, &key) &&
         nx_batch_field(&engine->task, &at, &value)) {
    nx_record record;
    if (!nx_channel_get(channel, key, engine->now_ms, &record) || record.value.length != value.length ||
        memcmp(record.value.data, value.data, value.length) != 0)
      continue;
    removed += nx_channel_remove(channel, key, engine->now_ms);
    nx_figures_action(&engine->figures, NX_ACTION_DELETED, value.length);
  }
  engine->task.length = 0;
  end_call(engine, NULL);
  return removed;
}

/*
 * Chunks in, answers out, for any kind of node: parses as many requests as a chunk completes, runs them, keeps what is unfinished.
 *
 * A connection owns memory only while a request is unfinished, waits behind a stop, or streams; what
 * clients can make the engine hold is counted in `input_bytes` and bounded.
 */
#include "engine.h"

#include <stdlib.h>

#define REPLY_BYTES_KEPT (4u << 20)
#define CONTENT_BYTES_KEPT (256u << 10)

static bool settings_valid(const uint64_t *settings) {
  uint64_t updates = settings[NX_LEGACY_LISTEN_UPDATES_MAX];
  return settings[NX_LEGACY_BATCH_BYTES] >= 1024 && settings[NX_LEGACY_BATCH_BYTES] <= 1u << 24 &&
         settings[NX_LEGACY_ARRAY_BYTES_MAX] >= settings[NX_LEGACY_BATCH_BYTES] &&
         settings[NX_LEGACY_ARRAY_BYTES_MAX] <= 1u << 30 && updates >= 16 && updates <= 1u << 24 &&
         (updates & (updates - 1)) == 0 && settings[NX_LEGACY_REDISTRIBUTE_PERCENT] <= 1000000;
}

nx_legacy *nx_legacy_make(const nx_legacy_backend *backend, const uint64_t *settings) {
  if (!settings_valid(settings)) return NULL;
  nx_legacy *engine = calloc(1, sizeof *engine);
  NX_ASSERT(engine != NULL);
  memcpy(engine->settings, settings, sizeof engine->settings);
  engine->backend = backend;
  engine->range_max = UINT64_MAX;
  engine->input.bytes_max = settings[NX_LEGACY_INPUT_BYTES_MAX];
  engine->events.places = &engine->block[NX_LEGACY_EVENTS_ADDRESS];
  return engine;
}

void nx_legacy_free(nx_legacy *engine) {
  NX_ASSERT(engine->connections == 0);
  engine->backend->detach(engine);
  nx_buffer_free(&engine->replies);
  nx_buffer_free(&engine->content);
  nx_buffer_free(&engine->task);
  nx_events_free(&engine->events);
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

void nx_legacy_set_settled(nx_legacy *engine, uint64_t min, uint64_t max, uint32_t is_arriving) {
  engine->arrival = (nx_arrival){min, max, is_arriving != 0};
}

void nx_legacy_get_settled(const nx_legacy *engine, uint64_t *min_max_arriving) {
  min_max_arriving[0] = engine->arrival.settled_min;
  min_max_arriving[1] = engine->arrival.settled_max;
  min_max_arriving[2] = engine->arrival.is_arriving;
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

void nx_legacy_clear_events(nx_legacy *engine) { nx_events_clear(&engine->events); }

void nx_legacy_read_statistics(nx_legacy *engine) {
  double *block = engine->block;
  block[NX_LEGACY_REQUESTS_TOTAL] = (double)engine->requests_total;
  block[NX_LEGACY_ERRORS_TOTAL] = (double)engine->errors_total;
  block[NX_LEGACY_INPUT_BYTES] = (double)engine->input.bytes;
  block[NX_LEGACY_CONNECTIONS] = (double)engine->connections;
  block[NX_LEGACY_LISTENERS] = (double)engine->listeners;
  block[NX_LEGACY_FIGURES_ADDRESS] = (double)(uintptr_t)engine->figures.kinds;
}

/* --- connections ---------------------------------------------------------------------------------------- */

nx_legacy_connection *nx_legacy_connect(nx_legacy *engine) {
  nx_legacy_connection *connection = calloc(1, sizeof *connection);
  NX_ASSERT(connection != NULL);
  connection->engine = engine;
  engine->connections += 1;
  return connection;
}

void nx_legacy_disconnect(nx_legacy *engine, nx_legacy_connection *connection) {
  if (connection->bulk != NULL) nx_bulk_drop(engine, connection);
  engine->backend->leave(engine, connection);
  nx_kept_free(&connection->input, &engine->input);
  free(connection);
  engine->connections -= 1;
}

/* --- serving -------------------------------------------------------------------------------------------- */

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
    nx_events_say(&engine->events, "unknown command %u", request->code);
    nx_status(engine, NX_STATUS_INVALID_REQUEST);
    connection->is_closing = true;
    return;
  }
  connection->skip = request->skip;
  connection->closes_after_skip = parsed == NX_LEGACY_OVERSIZED;
  if (parsed == NX_LEGACY_OVERSIZED)
    nx_events_say(&engine->events, "an array of %llu bytes in command %u", (unsigned long long)request->skip,
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
    if (connection->bulk != NULL || nx_is_streaming(connection)) break;
    if (engine->replies.length >= engine->settings[NX_LEGACY_REPLY_SOFT_BYTES_MAX]) {
      connection->is_waiting = true;
      break;
    }
    if (connection->skip > 0) {
      consumed += skip(engine, connection, length - consumed);
      continue;
    }
    if (connection->production != NULL) {
      uint64_t taken = engine->backend->produce(engine, connection, bytes + consumed, length - consumed);
      if (taken == 0) break;
      consumed += taken;
      continue;
    }
    if (engine->backend->prefetch != NULL) {
      if (ahead == 0) ahead = engine->backend->prefetch(engine, bytes + consumed, length - consumed);
      ahead -= 1;
    }
    nx_legacy_request request;
    nx_legacy_parsed parsed = nx_legacy_parse(engine->backend->shapes, bytes + consumed, length - consumed,
                                              array_max, value_max, &request);
    if (parsed == NX_LEGACY_INCOMPLETE) break;
    engine->requests_total += 1;
    consumed += request.length;
    if (parsed == NX_LEGACY_COMPLETE) {
      nx_figures_handled(&engine->figures, request.code);
      engine->backend->execute(engine, connection, &request);
    } else {
      refuse(engine, connection, parsed, &request);
    }
  }
  return consumed;
}

static void settle(nx_legacy *engine, nx_legacy_connection *connection, uint64_t consumed) {
  uint64_t bulk_bytes = connection->bulk == NULL ? 0 : nx_bulk_bytes(connection->bulk);
  if (nx_kept_settle(&connection->input, consumed, bulk_bytes, connection->is_closing, &engine->input)) return;
  nx_events_say(&engine->events, "too much unfinished input on this node");
  connection->is_closing = true;
}

static void serve_kept(nx_legacy *engine, nx_legacy_connection *connection) {
  connection->is_waiting = false;
  uint64_t length = nx_kept_length(&connection->input), consumed = 0;
  if (length > 0) consumed = serve(engine, connection, nx_kept_bytes(&connection->input), length);
  settle(engine, connection, consumed);
}

void nx_legacy_begin_call(nx_legacy *engine, double now_ms) {
  nx_figures_begin_call(&engine->figures);
  engine->now_ms = (int64_t)now_ms;
  engine->stop = 0;
  nx_buffer_reuse(&engine->replies, REPLY_BYTES_KEPT);
  nx_buffer_reuse(&engine->content, CONTENT_BYTES_KEPT);
}

uint32_t nx_legacy_end_call(nx_legacy *engine, const nx_legacy_connection *connection) {
  nx_figures_end_call(&engine->figures);
  double *block = engine->block;
  nx_block_show(block, &engine->replies, engine->backend->effects(engine));
  if ((engine->stop & NX_LEGACY_REDISTRIBUTE) != 0) {
    block[NX_LEGACY_TASK_ADDRESS] = (double)(uintptr_t)engine->task.data;
    block[NX_LEGACY_TASK_LENGTH] = (double)engine->task.length;
  }
  if (connection == NULL) return 0;
  if (connection->is_closing) return engine->stop | NX_LEGACY_CLOSE;
  uint32_t flags = engine->stop;
  if (connection->bulk != NULL || connection->is_waiting) flags |= NX_LEGACY_MORE;
  if (nx_is_streaming(connection)) flags |= NX_LEGACY_LISTENING;
  return flags;
}

static bool is_stopped(const nx_legacy_connection *connection) {
  return connection->bulk != NULL || nx_is_streaming(connection) || connection->is_waiting;
}

uint32_t nx_legacy_feed(nx_legacy *engine, nx_legacy_connection *connection, const uint8_t *chunk,
                        uint64_t length, double now_ms) {
  nx_legacy_begin_call(engine, now_ms);
  if (connection->is_closing) return nx_legacy_end_call(engine, connection);
  if (is_stopped(connection)) {
    nx_kept_append(&connection->input, chunk, length);
    if (nx_kept_length(&connection->input) > engine->settings[NX_LEGACY_ARRAY_BYTES_MAX]) {
      nx_events_say(&engine->events, "more than %llu bytes sent behind a request that is not finished",
               (unsigned long long)engine->settings[NX_LEGACY_ARRAY_BYTES_MAX]);
      connection->is_closing = true;
    }
    settle(engine, connection, 0);
  } else if (nx_kept_length(&connection->input) == 0) {
    /* In place, without a copy of the bytes that complete requests. */
    uint64_t consumed = serve(engine, connection, chunk, length);
    if (consumed < length && !connection->is_closing)
      nx_kept_append(&connection->input, chunk + consumed, length - consumed);
    if (nx_kept_any(&connection->input) || connection->bulk != NULL) settle(engine, connection, 0);
  } else {
    nx_kept_append(&connection->input, chunk, length);
    serve_kept(engine, connection);
  }
  return nx_legacy_end_call(engine, connection);
}

uint32_t nx_legacy_resume(nx_legacy *engine, nx_legacy_connection *connection, double now_ms) {
  nx_legacy_begin_call(engine, now_ms);
  if (connection->is_closing) return nx_legacy_end_call(engine, connection);
  if (connection->bulk != NULL) nx_bulk_continue(engine, connection);
  if (connection->bulk == NULL && !nx_is_streaming(connection)) serve_kept(engine, connection);
  return nx_legacy_end_call(engine, connection);
}

uint32_t nx_legacy_pump(nx_legacy *engine, nx_legacy_connection *connection, double now_ms) {
  nx_legacy_begin_call(engine, now_ms);
  if (connection->is_closing || !nx_is_streaming(connection)) return nx_legacy_end_call(engine, connection);
  engine->backend->pump(engine, connection);
  if (!nx_is_streaming(connection)) serve_kept(engine, connection);
  return nx_legacy_end_call(engine, connection);
}

uint32_t nx_legacy_waiting(nx_legacy_connection *connection) {
  return nx_is_streaming(connection) ? connection->engine->backend->waiting(connection) : 0;
}

void nx_legacy_skip(nx_legacy *engine, nx_legacy_connection *connection, uint64_t length) {
  nx_events_say(&engine->events, "an array of %llu bytes in a stream", (unsigned long long)length);
  connection->skip = length;
  connection->closes_after_skip = true;
}

/*
 * Chunks in, answers out: parses as many requests as a chunk completes, runs them, keeps what is unfinished.
 *
 * A connection owns memory only while a request is unfinished or waits behind a stop; what clients can make the
 * engine hold is counted in `input_bytes` and bounded.
 */
#include "engine.h"

#include <stdlib.h>
#include <string.h>

#include "bytes.h"

#define REPLY_BYTES_KEPT (1u << 20)
#define CONTENT_BYTES_KEPT (256u << 10)
#define REPLY_SOFT_BYTES_MAX (1u << 20)
/* Unfinished input of all connections together. */
#define INPUT_BYTES_MAX (UINT64_C(1) << 30)

nx_logfiles *nx_logfiles_new(nx_logs *logs, uint64_t array_bytes_max, uint64_t channels_max) {
  nx_logfiles *engine = calloc(1, sizeof *engine);
  NX_ASSERT(engine != NULL);
  engine->logs = logs;
  engine->array_bytes_max = array_bytes_max;
  engine->channels_max = channels_max;
  engine->range_max = UINT64_MAX;
  engine->input.bytes_max = INPUT_BYTES_MAX;
  engine->events.places = &engine->block[NX_LOGFILES_EVENTS_ADDRESS];
  engine->block[NX_LOGFILES_FIGURES_ADDRESS] = (double)(uintptr_t)&engine->figures;
  return engine;
}

void nx_logfiles_free(nx_logfiles *engine) {
  NX_ASSERT(engine->connections == 0);
  nx_buffer_free(&engine->replies);
  nx_buffer_free(&engine->content);
  nx_buffer_free(&engine->task);
  nx_events_free(&engine->events);
  free(engine);
}

const double *nx_logfiles_block(const nx_logfiles *engine) { return engine->block; }

void nx_logfiles_set_address(nx_logfiles *engine, const uint8_t *address, uint64_t length, uint32_t port) {
  engine->address_length = (uint32_t)(length < sizeof engine->address ? length : sizeof engine->address);
  memcpy(engine->address, address, engine->address_length);
  engine->port = (uint16_t)port;
}

void nx_logfiles_set_range(nx_logfiles *engine, uint64_t min, uint64_t max) {
  engine->range_min = min;
  engine->range_max = max;
}

void nx_logfiles_refuse_writes(nx_logfiles *engine, uint32_t is_refusing) {
  engine->is_refusing = is_refusing != 0;
}

void nx_logfiles_clear_events(nx_logfiles *engine) { nx_events_clear(&engine->events); }

void nx_logfiles_read_statistics(nx_logfiles *engine) {
  double *block = engine->block;
  block[NX_LOGFILES_REQUESTS_TOTAL] = (double)engine->requests_total;
  block[NX_LOGFILES_ERRORS_TOTAL] = (double)engine->errors_total;
  block[NX_LOGFILES_INPUT_BYTES] = (double)engine->input.bytes;
  block[NX_LOGFILES_CONNECTIONS] = (double)engine->connections;
}

nx_logfiles_connection *nx_logfiles_connect(nx_logfiles *engine) {
  nx_logfiles_connection *connection = calloc(1, sizeof *connection);
  NX_ASSERT(connection != NULL);
  engine->connections += 1;
  return connection;
}

void nx_logfiles_disconnect(nx_logfiles *engine, nx_logfiles_connection *connection) {
  if (connection->has_task) nx_figures_active(&engine->figures, connection->task_code, -1);
  nx_kept_free(&connection->input, &engine->input);
  free(connection);
  engine->connections -= 1;
}

/* --- serving -------------------------------------------------------------------------------------------- */

/* What follows a request that cannot be read as it is. */
static void refuse(nx_logfiles *engine, nx_logfiles_connection *connection, nx_logfiles_parsed parsed,
                   const nx_logfiles_request *request) {
  if (parsed == NX_LOGFILES_UNKNOWN) {
    nx_events_say(&engine->events, "unknown command %u", request->code);
    nx_buffer_append(&engine->replies, &(uint32_t){400}, 4);
    engine->errors_total += 1;
    connection->is_closing = true;
    return;
  }
  nx_events_say(&engine->events, "an array of %llu bytes in command %u", (unsigned long long)request->skip,
                    request->code);
  connection->skip = request->skip;
  connection->is_closing = connection->skip == 0;
}

static uint64_t skip(nx_logfiles_connection *connection, uint64_t length) {
  uint64_t taken = connection->skip < length ? connection->skip : length;
  connection->skip -= taken;
  connection->is_closing = connection->skip == 0;
  return taken;
}

/* Runs the requests that `bytes` completes. Returns how many bytes they took. */
static uint64_t serve(nx_logfiles *engine, nx_logfiles_connection *connection, const uint8_t *bytes,
                      uint64_t length) {
  uint64_t consumed = 0;
  while (consumed < length && !connection->is_closing && !connection->has_task) {
    if (connection->skip > 0) {
      consumed += skip(connection, length - consumed);
      continue;
    }
    if (engine->replies.length >= REPLY_SOFT_BYTES_MAX) {
      connection->is_waiting = true;
      break;
    }
    nx_logfiles_request request;
    nx_logfiles_parsed parsed =
        nx_logfiles_parse(bytes + consumed, length - consumed, engine->array_bytes_max, &request);
    if (parsed == NX_LOGFILES_INCOMPLETE) break;
    engine->requests_total += 1;
    consumed += request.length;
    if (parsed == NX_LOGFILES_COMPLETE) {
      nx_figures_handled(&engine->figures, request.code);
      nx_logfiles_execute(engine, connection, &request);
    } else {
      refuse(engine, connection, parsed, &request);
    }
  }
  return consumed;
}

static void settle(nx_logfiles *engine, nx_logfiles_connection *connection, uint64_t consumed) {
  if (nx_kept_settle(&connection->input, consumed, 0, connection->is_closing, &engine->input)) return;
  nx_events_say(&engine->events, "too much unfinished input on this node");
  connection->is_closing = true;
}

static void serve_kept(nx_logfiles *engine, nx_logfiles_connection *connection) {
  connection->is_waiting = false;
  uint64_t length = nx_kept_length(&connection->input), consumed = 0;
  if (length > 0) consumed = serve(engine, connection, nx_kept_bytes(&connection->input), length);
  settle(engine, connection, consumed);
}

static void begin_call(nx_logfiles *engine) {
  nx_figures_begin_call(&engine->figures);
  nx_buffer_reuse(&engine->replies, REPLY_BYTES_KEPT);
  nx_buffer_reuse(&engine->content, CONTENT_BYTES_KEPT);
}

static uint32_t end_call(nx_logfiles *engine, const nx_logfiles_connection *connection) {
  nx_figures_end_call(&engine->figures);
  double *block = engine->block;
  nx_block_show(block, &engine->replies, &engine->logs->effects);
  block[NX_LOGFILES_REMOVALS_TOTAL] = (double)engine->removals_total;
  block[NX_LOGFILES_MEMTABLE_BYTES] = (double)engine->logs->memtable_bytes;
  if (connection->has_task) {
    block[NX_LOGFILES_TASK_ADDRESS] = (double)(uintptr_t)engine->task.data;
    block[NX_LOGFILES_TASK_LENGTH] = (double)engine->task.length;
    return NX_LOGFILES_TASK;
  }
  if (connection->is_closing) return NX_LOGFILES_CLOSE;
  return connection->is_waiting ? NX_LOGFILES_MORE : 0;
}

uint32_t nx_logfiles_feed(nx_logfiles *engine, nx_logfiles_connection *connection, const uint8_t *chunk,
                          uint64_t length) {
  begin_call(engine);
  if (connection->is_closing) return end_call(engine, connection);
  if (connection->has_task || connection->is_waiting) {
    nx_kept_append(&connection->input, chunk, length);
    if (nx_kept_length(&connection->input) > engine->array_bytes_max) {
      nx_events_say(&engine->events, "more than %llu bytes sent behind a request that is not finished",
                        (unsigned long long)engine->array_bytes_max);
      connection->is_closing = true;
    }
    settle(engine, connection, 0);
    uint32_t flags = end_call(engine, connection);
    /* A task is told of once, by the call that took it. */
    return connection->is_closing ? NX_LOGFILES_CLOSE : flags & ~(uint32_t)NX_LOGFILES_TASK;
  }
  if (nx_kept_length(&connection->input) == 0) {
    /* In place, without a copy of the bytes that complete requests. */
    uint64_t consumed = serve(engine, connection, chunk, length);
    if (consumed < length && !connection->is_closing)
      nx_kept_append(&connection->input, chunk + consumed, length - consumed);
    if (nx_kept_any(&connection->input)) settle(engine, connection, 0);
  } else {
    nx_kept_append(&connection->input, chunk, length);
    serve_kept(engine, connection);
  }
  return end_call(engine, connection);
}

uint32_t nx_logfiles_resume(nx_logfiles *engine, nx_logfiles_connection *connection) {
  begin_call(engine);
  if (connection->has_task) nx_figures_active(&engine->figures, connection->task_code, -1);
  connection->has_task = false;
  if (!connection->is_closing) serve_kept(engine, connection);
  return end_call(engine, connection);
}

/*
 * Chunks in, replies out: parses as many requests as a chunk completes, runs them, keeps what is unfinished.
 *
 * A connection owns memory for input only while a request is unfinished or waits; everything that clients can
 * make the engine hold (input, queued transactions, watched keys) is counted in `input_bytes` and bounded.
 */
#include <errno.h>
#include <stdlib.h>
#include "commands.h"
#include "reply.h"
#include "waiting.h"

#define LINE_BYTES_MAX 65536u
#define SPARES_MAX 8u
#define SPARE_BYTES_KEPT 65536u
#define REPLY_BYTES_KEPT (4u * 1024 * 1024)

static bool settings_valid(const double *settings) {
  for (uint32_t index = 0; index < NX_RESP_SETTINGS; index++) {
    if (!(settings[index] >= 0 && settings[index] <= 9007199254740991.0)) return false;
  }
  /* Lengths in a transaction's queue and counts are 32 bits wide. */
  return settings[NX_RESP_VALUE_BYTES_MAX] >= 1 && settings[NX_RESP_VALUE_BYTES_MAX] <= NX_VALUE_BYTES_MAX &&
         settings[NX_RESP_KEY_BYTES_MAX] >= 1 && settings[NX_RESP_KEY_BYTES_MAX] <= NX_KEY_BYTES_MAX &&
         settings[NX_RESP_ARGUMENTS_MAX] >= 1 && settings[NX_RESP_ARGUMENTS_MAX] <= 16777216.0;
}

int32_t nx_resp_configure(nx_resp *engine, const double *settings) {
  if (!settings_valid(settings)) return -EINVAL;
  for (uint32_t index = 0; index < NX_RESP_SETTINGS; index++) {
    /* The seed is for life: the watch table hashes with it. */
    if (index == NX_RESP_SEED && engine->random != 0) continue;
    engine->settings[index] = (uint64_t)settings[index];
  }
  /* A value that could be stored can be read. */
  uint64_t value_reply_bytes = engine->settings[NX_RESP_VALUE_BYTES_MAX] + NX_INTEGER_TEXT_MAX + 5;
  if (engine->settings[NX_RESP_REPLY_BYTES_MAX] < value_reply_bytes) {
    engine->settings[NX_RESP_REPLY_BYTES_MAX] = value_reply_bytes;
  }
  engine->limits.arguments_max = engine->settings[NX_RESP_ARGUMENTS_MAX];
  engine->limits.bulk_bytes_max = engine->settings[NX_RESP_VALUE_BYTES_MAX];
  engine->limits.line_bytes_max = LINE_BYTES_MAX;
  return 0;
}

nx_resp *nx_resp_make(const nx_resp_backend *backend, const double *settings) {
  nx_resp *engine = calloc(1, sizeof *engine);
  NX_ASSERT(engine != NULL);
  if (nx_resp_configure(engine, settings) != 0) {
    free(engine);
    return NULL;
  }
  engine->backend = backend;
  engine->random = engine->settings[NX_RESP_SEED] + 1;
  engine->channel_epoch = 1;
  engine->counts = calloc(backend->command_count, sizeof *engine->counts);
  NX_ASSERT(engine->counts != NULL);
  nx_command_lookup_build(engine);
  return engine;
}

static void input_free(nx_input *input) {
  nx_request_free(&input->request);
  nx_buffer_free(&input->buffer);
  free(input);
}

void nx_resp_free(nx_resp *engine) {
  NX_ASSERT(engine->connections == 0);
  engine->backend->detach(engine);
  while (engine->spares != NULL) {
    nx_input *input = engine->spares;
    engine->spares = input->next;
    input_free(input);
  }
  nx_buffer_free(&engine->replies);
  nx_buffer_free(&engine->text);
  free(engine->watch_table);
  free(engine->refusal);
  free(engine->replay);
  free(engine->counts);
  free(engine);
}

void nx_resp_refuse_writes(nx_resp *engine, const uint8_t *text, uint64_t length) {
  free(engine->refusal);
  engine->refusal = NULL;
  engine->refusal_length = length < 512 ? length : 512;
  if (length == 0) return;
  engine->refusal = malloc(engine->refusal_length);
  NX_ASSERT(engine->refusal != NULL);
  memcpy(engine->refusal, text, engine->refusal_length);
}

/* After so much input the other clients have their turn: with 50 that pipeline 64 requests of 1 KiB the wait for a first reply
 * was a third of what it is when each is served to its end. Long enough for what is sent in small pieces to be served at once. */
#define INPUT_SOFT_BYTES_MAX (24u << 10)

/* A shorter chunk holds a request or two: they are served before what is asked for ahead of them arrives. */
#define PREFETCH_BYTES_MIN 128u

static nx_input *input_take(nx_resp *engine) {
  nx_input *input = engine->spares;
  if (input == NULL) {
    input = calloc(1, sizeof *input);
    NX_ASSERT(input != NULL);
  } else {
    engine->spares = input->next;
    engine->spare_count--;
  }
  nx_request_begin(&input->request);
  return input;
}

static void input_give_back(nx_resp *engine, nx_input *input) {
  engine->input_bytes -= input->bytes_counted;
  input->bytes_counted = 0;
  input->buffer.length = 0;
  input->start = 0;
  if (engine->spare_count >= SPARES_MAX) {
    input_free(input);
    return;
  }
  nx_request_trim(&input->request);
  if (input->buffer.capacity > SPARE_BYTES_KEPT) nx_buffer_free(&input->buffer);
  input->next = engine->spares;
  engine->spares = input;
  engine->spare_count++;
}

void nx_resp_disconnect(nx_resp *engine, nx_resp_connection *connection) {
  if (connection->input != NULL) input_give_back(engine, connection->input);
  if (engine->asking == connection) engine->asking = NULL;
  if (connection->waiter != NULL) engine->backend->leave(engine, connection);
  nx_transaction_drop(engine, connection);
  nx_watch_clear(engine, connection);
  free(connection->channel_name);
  free(connection);
  engine->connections--;
}

static void close_with(nx_resp *engine, nx_resp_connection *connection, const char *text) {
  nx_reply_error(engine, "ERR Protocol error: %s", text);
  connection->closing = true;
}

/* Runs the requests that `bytes` completes. Returns how many bytes they took. */
static uint64_t serve(nx_resp *engine, nx_resp_connection *connection, nx_request *request,
                      const uint8_t *bytes, uint64_t length) {
  uint64_t consumed = 0;
  uint32_t ahead = 0; /* requests whose records were asked for */
  while (engine->stop == 0 && !connection->closing && consumed < length) {
    if (engine->backend->prefetch != NULL && length >= PREFETCH_BYTES_MIN) {
      if (ahead == 0)
        ahead = engine->backend->prefetch(engine, connection, bytes + consumed, length - consumed);
      ahead--;
    }
    engine->limits.authenticated = connection->authenticated;
    nx_request_status status =
        nx_request_parse(request, bytes + consumed, length - consumed, &engine->limits);
    if (status == NX_REQUEST_BAD) {
      close_with(engine, connection, request->error);
      break;
    }
    if (status == NX_REQUEST_INCOMPLETE) {
      if (length - consumed > engine->settings[NX_RESP_REQUEST_BYTES_MAX]) {
        close_with(engine, connection, "request is too large");
      }
      break;
    }
    consumed += request->position;
    engine->argv = request->arguments;
    engine->argc = request->count;
    if (request->count > 0) nx_dispatch(engine, connection);
    nx_request_begin(request);
    bool is_long = engine->replies.length >= engine->settings[NX_RESP_REPLY_SOFT_BYTES_MAX] ||
                   consumed >= INPUT_SOFT_BYTES_MAX;
    if (is_long && consumed < length) engine->stop |= NX_RESP_MORE;
  }
  return consumed;
}

static void count_input(nx_resp *engine, nx_resp_connection *connection) {
  nx_input *input = connection->input;
  uint64_t bytes = sizeof *input + input->buffer.capacity + input->request.capacity * sizeof(nx_slice);
  engine->input_bytes += bytes - input->bytes_counted;
  input->bytes_counted = bytes;
  if (engine->input_bytes <= engine->settings[NX_RESP_INPUT_BYTES_MAX] || connection->closing) return;
  close_with(engine, connection, "too much unfinished input on this server");
}

/* Keeps what was not consumed of the connection's input, or lets the input go when nothing is left. */
static void settle(nx_resp *engine, nx_resp_connection *connection, uint64_t consumed) {
  nx_input *input = connection->input;
  nx_buffer *buffer = &input->buffer;
  input->start += consumed;
  if (input->start < buffer->length && !connection->closing) {
    if (input->start > buffer->length / 2) {
      memmove(buffer->data, buffer->data + input->start, buffer->length - input->start);
      buffer->length -= input->start;
      input->start = 0;
    }
    count_input(engine, connection);
    if (!connection->closing) return;
  }
  connection->input = NULL;
  input_give_back(engine, input);
}

static void serve_kept(nx_resp *engine, nx_resp_connection *connection) {
  nx_input *input = connection->input;
  if (input == NULL) return;
  uint64_t length = input->buffer.length - input->start;
  settle(engine, connection,
         serve(engine, connection, &input->request, input->buffer.data + input->start, length));
}

/* In place, without a copy of the bytes that complete requests. */
static void serve_chunk(nx_resp *engine, nx_resp_connection *connection, const uint8_t *chunk,
                        uint64_t length) {
  nx_input *input = input_take(engine);
  uint64_t consumed = serve(engine, connection, &input->request, chunk, length);
  if (consumed == length || connection->closing) {
    input_give_back(engine, input);
    return;
  }
  nx_buffer_append(&input->buffer, chunk + consumed, length - consumed);
  connection->input = input;
  settle(engine, connection, 0);
}

static void keep(nx_resp *engine, nx_resp_connection *connection, const uint8_t *chunk, uint64_t length) {
  if (connection->input == NULL) connection->input = input_take(engine);
  nx_input *input = connection->input;
  nx_buffer_append(&input->buffer, chunk, length);
}

static void begin_call(nx_resp *engine, double now_ms) {
  engine->now_ms = (int64_t)now_ms;
  engine->now_fraction_ms = now_ms;
  engine->stop = 0;
}

static void clear_replies(nx_resp *engine) {
  NX_ASSERT(engine->asking == NULL);
  nx_buffer_reuse(&engine->replies, REPLY_BYTES_KEPT);
}

static uint32_t end_call(nx_resp *engine, nx_resp_connection *connection) {
  connection->stopped = engine->stop & (NX_RESP_MORE | NX_RESP_ADMIN | NX_RESP_BLOCKED);
  engine->asking = (engine->stop & NX_RESP_ADMIN) != 0 ? connection : NULL;
  double *block = engine->block;
  nx_block_show(block, &engine->replies, engine->backend->effects(engine));
  if (engine->waiting != NULL) nx_wait_publish(engine);
  if (engine->asking != NULL) {
    block[NX_RESP_TEXT_ADDRESS] = (double)(uintptr_t)engine->text.data;
    block[NX_RESP_TEXT_LENGTH] = (double)engine->text.length;
    block[NX_RESP_PROTOCOL] = connection->protocol;
  }
  return engine->stop | (connection->closing ? (uint32_t)NX_RESP_CLOSE : 0);
}

uint32_t nx_resp_feed(nx_resp *engine, nx_resp_connection *connection, const uint8_t *chunk, uint64_t length,
                      double now_ms) {
  clear_replies(engine);
  begin_call(engine, now_ms);
  if (connection->closing) return end_call(engine, connection);
  if (connection->stopped != 0) {
    keep(engine, connection, chunk, length);
    if (connection->input->buffer.length - connection->input->start >
        engine->settings[NX_RESP_REQUEST_BYTES_MAX]) {
      close_with(engine, connection, "request is too large");
    }
    settle(engine, connection, 0);
    engine->stop = connection->closing ? 0 : connection->stopped;
  } else if (connection->input == NULL) {
    serve_chunk(engine, connection, chunk, length);
  } else {
    keep(engine, connection, chunk, length);
    serve_kept(engine, connection);
  }
  return end_call(engine, connection);
}

uint32_t nx_resp_resume(nx_resp *engine, nx_resp_connection *connection, double now_ms) {
  clear_replies(engine);
  begin_call(engine, now_ms);
  if (connection->waiter != NULL) nx_wait_finish(engine, connection);
  if (!connection->closing) serve_kept(engine, connection);
  return end_call(engine, connection);
}

uint32_t nx_resp_answer(nx_resp *engine, nx_resp_connection *connection, const uint8_t *reply,
                        uint64_t length, double now_ms) {
  NX_ASSERT(engine->asking == connection);
  begin_call(engine, now_ms);
  nx_reply_raw(engine, reply, length);
  if (length > 0 && reply[0] == '-') {
    engine->errors_total++;
    engine->counts[engine->admin_command].failed++;
  }
  if (connection->transaction != NULL && connection->transaction->running)
    nx_transaction_run(engine, connection);
  if (engine->has_signals && (engine->stop & NX_RESP_HOLD) == 0) engine->backend->after_command(engine);
  if (engine->stop == 0) serve_kept(engine, connection);
  return end_call(engine, connection);
}

void nx_resp_serve_waiting(nx_resp *engine, double now_ms) {
  if (!engine->has_signals) return;
  begin_call(engine, now_ms);
  engine->backend->after_command(engine);
  engine->block[NX_BLOCK_EFFECTS_LENGTH] = (double)engine->backend->effects(engine)->length;
  nx_wait_publish(engine);
}

const double *nx_resp_block(const nx_resp *engine) { return engine->block; }

/*
 * MULTI, EXEC, DISCARD, WATCH, UNWATCH.
 *
 * Commands are queued as bytes and decoded again by EXEC. EXEC runs them in one go, without giving way to
 * other connections; only an admin command stops it, and then NX_RESP_HOLD tells the caller to leave the
 * effects where they are. A crash before the effects of the whole transaction are logged leaves none of them.
 */
#include <stdlib.h>
#include "commands.h"
#include "reply.h"

static void append_u32(nx_buffer *buffer, uint64_t value) {
  NX_ASSERT(value <= UINT32_MAX);
  uint32_t narrow = (uint32_t)value;
  nx_buffer_append(buffer, &narrow, sizeof narrow);
}

static uint32_t read_u32(nx_transaction *transaction) {
  uint32_t value = 0;
  NX_ASSERT(transaction->position + sizeof value <= transaction->queue.length);
  memcpy(&value, transaction->queue.data + transaction->position, sizeof value);
  transaction->position += sizeof value;
  return value;
}

void nx_transaction_drop(nx_resp *engine, nx_resp_connection *connection) {
  nx_transaction *transaction = connection->transaction;
  if (transaction == NULL) return;
  engine->input_bytes -= transaction->queue.length;
  nx_buffer_free(&transaction->queue);
  free(transaction);
  connection->transaction = NULL;
}

void nx_transaction_queue(nx_resp *engine, nx_resp_connection *connection, const nx_command *command) {
  nx_transaction *transaction = connection->transaction;
  uint64_t needed = 2 * sizeof(uint32_t);
  for (uint32_t index = 0; index < engine->argc; index++)
    needed += sizeof(uint32_t) + engine->argv[index].length;
  if (transaction->queue.length + needed > engine->settings[NX_RESP_REQUEST_BYTES_MAX] ||
      engine->input_bytes + needed > engine->settings[NX_RESP_INPUT_BYTES_MAX]) {
    transaction->aborted = true;
    nx_reply_error(engine, "ERR the transaction is too large to queue");
    return;
  }
  /* A transaction that cannot run any more need not be kept. */
  if (!transaction->aborted) {
    append_u32(&transaction->queue, nx_command_index(engine, command));
    append_u32(&transaction->queue, engine->argc);
    for (uint32_t index = 0; index < engine->argc; index++) {
      append_u32(&transaction->queue, engine->argv[index].length);
      nx_buffer_append(&transaction->queue, engine->argv[index].data, engine->argv[index].length);
    }
    engine->input_bytes += needed;
    transaction->count++;
    transaction->flags |= command->flags;
  }
  nx_reply_literal(engine, "+QUEUED\r\n");
}

/* Points argv at the next queued command. */
static const nx_command *decode_next(nx_resp *engine, nx_transaction *transaction) {
  uint32_t command = read_u32(transaction);
  uint32_t argc = read_u32(transaction);
  if (argc > engine->replay_capacity) {
    engine->replay = realloc(engine->replay, argc * sizeof *engine->replay);
    NX_ASSERT(engine->replay != NULL);
    engine->replay_capacity = argc;
  }
  for (uint32_t index = 0; index < argc; index++) {
    uint32_t length = read_u32(transaction);
    NX_ASSERT(transaction->position + length <= transaction->queue.length);
    engine->replay[index] = (nx_slice){transaction->queue.data + transaction->position, length};
    transaction->position += length;
  }
  engine->argv = engine->replay;
  engine->argc = argc;
  return &engine->backend->commands[command];
}

void nx_transaction_run(nx_resp *engine, nx_resp_connection *connection) {
  nx_transaction *transaction = connection->transaction;
  while (transaction->position < transaction->queue.length) {
    nx_call(engine, connection, decode_next(engine, transaction));
    if ((engine->stop & NX_RESP_ADMIN) != 0) {
      engine->stop |= NX_RESP_HOLD;
      return;
    }
  }
  nx_transaction_drop(engine, connection);
}

NX_COMMAND(multi) {
  if (connection->transaction != NULL) {
    nx_reply_error(engine, "ERR MULTI calls can not be nested");
    return;
  }
  connection->transaction = calloc(1, sizeof *connection->transaction);
  NX_ASSERT(connection->transaction != NULL);
  nx_reply_ok(engine);
}

NX_COMMAND(exec) {
  nx_transaction *transaction = connection->transaction;
  if (transaction == NULL) {
    nx_reply_error(engine, "ERR EXEC without MULTI");
    return;
  }
  bool broken = nx_watch_is_broken(engine, connection);
  nx_watch_clear(engine, connection);
  if (transaction->aborted) {
    nx_reply_error(engine, "EXECABORT Transaction discarded because of previous errors.");
    nx_transaction_drop(engine, connection);
  } else if (broken) {
    nx_reply_null_array(engine, connection);
    nx_transaction_drop(engine, connection);
  } else {
    nx_reply_array(engine, transaction->count);
    transaction->running = true;
    nx_transaction_run(engine, connection);
  }
}

NX_COMMAND(discard) {
  if (connection->transaction == NULL) {
    nx_reply_error(engine, "ERR DISCARD without MULTI");
    return;
  }
  nx_transaction_drop(engine, connection);
  nx_watch_clear(engine, connection);
  nx_reply_ok(engine);
}

NX_COMMAND(watch) {
  if (connection->transaction != NULL) {
    nx_reply_error(engine, "ERR WATCH inside MULTI is not allowed");
    return;
  }
  for (uint32_t index = 1; index < engine->argc; index++) {
    if (!nx_watch_add(engine, connection, engine->argv[index])) {
      nx_reply_error(engine, "ERR too many watched keys on this server");
      return;
    }
  }
  nx_reply_ok(engine);
}

NX_COMMAND(unwatch) {
  nx_watch_clear(engine, connection);
  nx_reply_ok(engine);
}

/*
 * Whether a command may run: does it exist, does the number of arguments fit, is the client authenticated,
 * may it write, is it queued for EXEC? The order of these questions is Redis', because clients see which one
 * answers first.
 */
#include <stdio.h>
#include "commands.h"
#include "reply.h"

static bool is_container(const nx_resp *engine, const nx_command *command) {
  return nx_command_index(engine, command) + 1 < engine->backend->command_count &&
         strncmp(command[1].name, command->name, strlen(command->name)) == 0 &&
         command[1].name[strlen(command->name)] == '|';
}

/* An argument as error texts show it: at most `max` bytes, ended by a zero byte if there is one. */
static int shown_length(nx_slice argument, uint64_t max) {
  return (int)(argument.length < max ? argument.length : max);
}

static void reply_unknown_command(nx_resp *engine) {
  char arguments[160];
  uint32_t length = 0;
  for (uint32_t index = 1; index < engine->argc && length < 128; index++) {
    nx_slice argument = engine->argv[index];
    int printed = snprintf(arguments + length, sizeof arguments - length, "'%.*s' ",
                           shown_length(argument, 128 - length), argument.data);
    NX_ASSERT(printed > 0);
    length += (uint32_t)printed;
  }
  nx_slice name = engine->argv[0];
  nx_reply_error(engine, "ERR unknown command '%.*s', with args beginning with: %.*s",
                 shown_length(name, 128), name.data, (int)length, arguments);
}

static void reply_unknown_subcommand(nx_resp *engine, const nx_command *container) {
  char upper[32];
  uint32_t length = 0;
  for (; container->name[length] != 0; length++) upper[length] = (char)(container->name[length] & ~0x20);
  nx_slice name = engine->argv[1];
  nx_reply_error(engine, "ERR unknown subcommand '%.*s'. Try %.*s HELP.", shown_length(name, 128), name.data,
                 (int)length, upper);
}

/* A refusal while queueing makes the transaction fail as a whole; EXEC, refused, ends it and says so. */
static void refuse(nx_resp *engine, nx_resp_connection *connection, const nx_command *command,
                   uint64_t error_start) {
  if (command != NULL) engine->counts[nx_command_index(engine, command)].rejected++;
  if (connection->transaction != NULL) connection->transaction->aborted = true;
  if (command == NULL || command->run != nx_command_exec) return;
  static const char generic[] = "-ERR ";
  char reason[256];
  uint64_t skipped = memcmp(engine->replies.data + error_start, generic, 5) == 0 ? 5 : 1;
  uint64_t length = engine->replies.length - error_start - skipped - 2;
  if (length >= sizeof reason) length = sizeof reason - 1;
  memcpy(reason, engine->replies.data + error_start + skipped, length);
  engine->replies.length = error_start;
  engine->errors_total--;
  nx_reply_error(engine, "EXECABORT Transaction discarded because of: %.*s", (int)length, reason);
  nx_transaction_drop(engine, connection);
  nx_watch_clear(engine, connection);
}

static const nx_command *find(nx_resp *engine, nx_resp_connection *connection) {
  uint64_t error_start = engine->replies.length;
  const nx_command *command = nx_command_find(engine, engine->argv[0]);
  if (command == NULL) {
    /* The first line of an HTTP request: a browser was led here to smuggle commands in a form. */
    if (nx_word_is(engine->argv[0], "post") || nx_word_is(engine->argv[0], "host:")) {
      connection->closing = true;
      return NULL;
    }
    reply_unknown_command(engine);
    refuse(engine, connection, NULL, error_start);
    return NULL;
  }
  if (command->run == NULL && engine->argc > 1 && is_container(engine, command)) {
    const nx_command *container = command;
    command = nx_subcommand_find(engine, container, engine->argv[1]);
    if (command == NULL) {
      reply_unknown_subcommand(engine, container);
      refuse(engine, connection, container, error_start);
      return NULL;
    }
  }
  if (command->arity < 0 ? engine->argc < (uint32_t)-command->arity
                         : engine->argc != (uint32_t)command->arity) {
    nx_reply_arity_error(engine, command);
    refuse(engine, connection, command, error_start);
    return NULL;
  }
  return command;
}

static bool keys_fit(const nx_resp *engine, const nx_command *command) {
  if (command->first_key == 0) return true;
  uint32_t last =
      command->last_key > 0 ? (uint32_t)command->last_key : engine->argc - (uint32_t)-command->last_key;
  uint32_t step = (uint32_t)command->key_step;
  for (uint32_t index = (uint32_t)command->first_key; index <= last; index += step) {
    if (engine->argv[index].length > engine->settings[NX_RESP_KEY_BYTES_MAX]) return false;
  }
  return true;
}

/* True when the command may run; if not, the reply says why. */
static bool may_run(nx_resp *engine, nx_resp_connection *connection, const nx_command *command) {
  if (!connection->authenticated && (command->flags & COMMAND_NO_AUTH) == 0) {
    nx_reply_error(engine, "NOAUTH Authentication required.");
    return false;
  }
  uint32_t flags = command->flags;
  if (command->run == nx_command_exec && connection->transaction != NULL)
    flags |= connection->transaction->flags;
  if (engine->refusal != NULL && (flags & COMMAND_WRITE) != 0) {
    nx_reply_error(engine, "%.*s", (int)engine->refusal_length, engine->refusal);
    return false;
  }
  if (!keys_fit(engine, command)) {
    nx_reply_error(engine, "ERR key is longer than %llu bytes",
                   (unsigned long long)engine->settings[NX_RESP_KEY_BYTES_MAX]);
    return false;
  }
  return true;
}

void nx_dispatch(nx_resp *engine, nx_resp_connection *connection) {
  uint64_t error_start = engine->replies.length;
  engine->reply_start = error_start;
  const nx_command *command = find(engine, connection);
  if (command == NULL) return;
  if (!may_run(engine, connection, command)) {
    refuse(engine, connection, command, error_start);
    return;
  }
  connection->last_command = nx_command_index(engine, command) + 1;
  if (__builtin_expect(connection->transaction != NULL, 0) && (command->flags & COMMAND_NEVER_QUEUED) == 0) {
    nx_transaction_queue(engine, connection, command);
  } else {
    nx_call(engine, connection, command);
    /* Not in the midst of a transaction, which may have stopped for an answer from outside. */
    if (__builtin_expect(engine->has_signals, 0) && (engine->stop & NX_RESP_HOLD) == 0)
      engine->backend->after_command(engine);
  }
}

/* Copies the arguments to where TypeScript reads them: u32 count, then u32 length and bytes each. */
static void ask_outside(nx_resp *engine, const nx_command *command) {
  nx_buffer *text = &engine->text;
  text->length = 0;
  nx_buffer_append(text, &engine->argc, sizeof engine->argc);
  for (uint32_t index = 0; index < engine->argc; index++) {
    uint32_t length = (uint32_t)engine->argv[index].length;
    nx_buffer_append(text, &length, sizeof length);
    nx_buffer_append(text, engine->argv[index].data, length);
  }
  engine->admin_command = nx_command_index(engine, command);
  engine->stop |= NX_RESP_ADMIN;
}

void nx_call(nx_resp *engine, nx_resp_connection *connection, const nx_command *command) {
  nx_command_count *count = &engine->counts[nx_command_index(engine, command)];
  count->calls++;
  engine->commands_total++;
  if ((command->flags & COMMAND_ASKS_OUTSIDE) != 0) {
    ask_outside(engine, command);
    return;
  }
  uint64_t reply_start = engine->replies.length;
  uint64_t errors_before = engine->errors_total;
  command->run(engine, connection);
  if (__builtin_expect(engine->reply_too_large, 0)) {
    engine->reply_too_large = false;
    engine->replies.length = reply_start;
    nx_reply_error(engine,
                   "ERR the reply would be longer than %llu bytes: ask for less at a time, e.g. with SCAN",
                   (unsigned long long)engine->settings[NX_RESP_REPLY_BYTES_MAX]);
  }
  if (engine->errors_total != errors_before) count->failed++;
}

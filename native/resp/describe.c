/* Texts for INFO, CLIENT LIST and COMMAND: what the engine knows, written to `text` for TypeScript to read.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "commands.h"
#include "glob.h"
#include "reply.h"

void nx_describe(nx_resp *engine, const char *format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  int printed = vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  NX_ASSERT(printed >= 0 && (uint64_t)printed < sizeof line);
  nx_buffer_append(&engine->text, line, (uint64_t)printed);
}

static void publish(nx_resp *engine) {
  engine->block[NX_RESP_TEXT_ADDRESS] = (double)(uintptr_t)engine->text.data;
  engine->block[NX_RESP_TEXT_LENGTH] = (double)engine->text.length;
}

void nx_resp_describe_connection(nx_resp *engine, const nx_resp_connection *connection) {
  engine->text.length = 0;
  nx_slice name = nx_connection_channel_name(connection);
  const nx_transaction *transaction = connection->transaction;
  const nx_input *input = connection->input;
  uint32_t watched = 0;
  for (const nx_watch *watch = connection->watches; watch != NULL; watch = nx_watch_next(watch)) watched++;
  nx_describe(engine, "db=%.*s multi=%d watch=%u", (int)name.length, name.data,
      transaction == NULL ? -1 : (int)transaction->count, watched);
  nx_describe(engine, " qbuf=%llu argv-mem=%llu multi-mem=%llu",
      (unsigned long long)(input == NULL ? 0 : input->buffer.length - input->start),
      (unsigned long long)(input == NULL ? 0 : input->request.capacity * sizeof(nx_slice)),
      (unsigned long long)(transaction == NULL ? 0 : transaction->queue.capacity));
  nx_describe(engine, " cmd=%s resp=%u",
      connection->last_command == 0 ? "NULL" : engine->backend->commands[connection->last_command - 1].name,
      connection->protocol);
  publish(engine);
}

void nx_resp_describe_channels(nx_resp *engine) {
  engine->text.length = 0;
  engine->backend->describe_channels(engine);
  publish(engine);
}

void nx_resp_describe_commands(nx_resp *engine) {
  static const char *const flag_names[COMMAND_FLAGS_SHOWN] = {
      "write", "readonly", "denyoom", "admin", "noscript", "blocking", "loading",
      "stale", "skip_slowlog", "fast", "no_auth", "allow_busy", "movablekeys"};
  engine->text.length = 0;
  for (uint32_t index = 0; index < engine->backend->command_count; index++) {
    const nx_command *command = &engine->backend->commands[index];
    const nx_command_count *count = &engine->counts[index];
    nx_describe(engine, "%s %d ", command->name, command->arity);
    const char *separator = "";
    for (uint32_t flag = 0; flag < COMMAND_FLAGS_SHOWN; flag++) {
      if ((command->flags >> flag & 1) == 0) continue;
      nx_describe(engine, "%s%s", separator, flag_names[flag]);
      separator = ",";
    }
    nx_describe(engine, "%s %d %d %d", separator[0] == 0 ? "-" : "", command->first_key, command->last_key,
        command->key_step);
    nx_describe(engine, " %llu %llu %llu\n", (unsigned long long)count->calls, (unsigned long long)count->rejected,
        (unsigned long long)count->failed);
  }
  publish(engine);
}

void nx_resp_read_statistics(nx_resp *engine) {
  double *block = engine->block;
  block[NX_RESP_COMMANDS_TOTAL] = (double)engine->commands_total;
  block[NX_RESP_ERRORS_TOTAL] = (double)engine->errors_total;
  block[NX_RESP_KEYSPACE_HITS] = (double)engine->hits;
  block[NX_RESP_KEYSPACE_MISSES] = (double)engine->misses;
  block[NX_RESP_INPUT_BYTES] = (double)engine->input_bytes;
  block[NX_RESP_CONNECTIONS] = (double)engine->connections;
  block[NX_RESP_WATCHED_KEYS] = (double)engine->watch_count;
}

void nx_resp_reset_statistics(nx_resp *engine) {
  engine->commands_total = 0;
  engine->errors_total = 0;
  engine->hits = 0;
  engine->misses = 0;
  memset(engine->counts, 0, engine->backend->command_count * sizeof *engine->counts);
}

bool nx_resp_glob(const uint8_t *pattern, uint64_t pattern_length, const uint8_t *text,
                  uint64_t text_length) {
  return nx_glob_matches((nx_slice){pattern, pattern_length}, (nx_slice){text, text_length});
}

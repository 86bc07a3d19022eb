/* See reply.h. */
#include "reply.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define ARRAY_HEADER_MAX (NX_INTEGER_TEXT_MAX + 3u)

void nx_reply_error(nx_resp *engine, const char *format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  int printed = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  uint64_t length = printed < 0 ? 0 : (uint64_t)printed;
  if (length >= sizeof text) length = sizeof text - 1;
  for (uint64_t index = 0; index < length; index++) {
    if (text[index] == '\r' || text[index] == '\n') text[index] = ' ';
  }
  nx_reply_literal(engine, "-");
  nx_reply_raw(engine, text, length);
  nx_reply_literal(engine, "\r\n");
  engine->errors_total++;
}

void nx_reply_syntax_error(nx_resp *engine) { nx_reply_error(engine, "ERR syntax error"); }

void nx_reply_integer_error(nx_resp *engine) {
  nx_reply_error(engine, "ERR value is not an integer or out of range");
}

void nx_reply_arity_error(nx_resp *engine, const nx_command *command) {
  nx_reply_error(engine, "ERR wrong number of arguments for '%s' command", command->name);
}

void nx_reply_store_error(nx_resp *engine, int error) {
  if (error == -ENOMEM) nx_reply_error(engine, "OOM command not allowed when used memory > 'maxmemory'.");
  else nx_reply_error(engine, "ERR key or value is too long for the store");
}

uint64_t nx_reply_array_open(nx_resp *engine) {
  uint64_t opened_at = engine->replies.length;
  nx_reply_reserve(engine, ARRAY_HEADER_MAX);
  engine->replies.length += ARRAY_HEADER_MAX;
  return opened_at;
}

void nx_reply_head_close(nx_resp *engine, uint64_t opened_at, char type, uint64_t count) {
  char header[ARRAY_HEADER_MAX];
  uint32_t length = 0;
  header[length++] = type;
  length += nx_integer_print((int64_t)count, header + length);
  header[length++] = '\r';
  header[length++] = '\n';
  uint8_t *start = engine->replies.data + opened_at;
  uint64_t members = engine->replies.length - opened_at - ARRAY_HEADER_MAX;
  memcpy(start, header, length);
  memmove(start + length, start + ARRAY_HEADER_MAX, members);
  engine->replies.length = opened_at + length + members;
}

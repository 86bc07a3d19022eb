/* Commands that look into a value or change part of it: lengths, ranges and counters. */
#include <math.h>
#include "commands.h"
#include "reply.h"

/* Replies the error and returns false when a value of this length may not be. */
static bool length_fits(nx_resp *engine, uint64_t offset, uint64_t length) {
  uint64_t max = engine->settings[NX_RESP_VALUE_BYTES_MAX];
  if (offset <= max && length <= max - offset) return true;
  nx_reply_error(engine, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
  return false;
}

static void patch(nx_resp *engine, nx_resp_connection *connection, uint64_t offset, nx_slice bytes) {
  nx_channel *channel = nx_channel_for_write(engine, connection);
  if (channel == NULL) return;
  uint64_t length_after = 0;
  int result = nx_channel_patch(channel, engine->argv[1], offset, bytes, engine->now_ms, &length_after);
  if (result < 0) nx_reply_store_error(engine, result);
  else nx_reply_integer(engine, (int64_t)length_after);
}

NX_COMMAND(append) {
  nx_record record;
  nx_slice bytes = engine->argv[2];
  if (!nx_find(engine, connection, engine->argv[1], &record)) {
    if (nx_put(engine, connection, engine->argv[1], bytes, 0))
      nx_reply_integer(engine, (int64_t)bytes.length);
  } else if (length_fits(engine, record.value.length, bytes.length)) {
    patch(engine, connection, record.value.length, bytes);
  }
}

NX_COMMAND(strlen) {
  nx_record record;
  bool found = nx_find_counted(engine, connection, engine->argv[1], &record);
  nx_reply_integer(engine, found ? (int64_t)record.value.length : 0);
}

NX_COMMAND(getrange) {
  int64_t start = 0;
  int64_t end = 0;
  if (!nx_integer_read(engine->argv[2], &start) || !nx_integer_read(engine->argv[3], &end)) {
    nx_reply_integer_error(engine);
    return;
  }
  nx_record record;
  nx_slice range = {(const uint8_t *)"", 0};
  if (nx_find_counted(engine, connection, engine->argv[1], &record) &&
      !(start < 0 && end < 0 && start > end)) {
    int64_t length = (int64_t)record.value.length;
    /* Negative offsets count from the end; whatever lies outside is cut off. */
    if (start < 0) start = start < -length ? 0 : start + length;
    if (end < 0) end = end < -length ? 0 : end + length;
    if (end >= length) end = length - 1;
    if (length > 0 && start <= end) {
      range = (nx_slice){record.value.data + start, (uint64_t)(end - start) + 1};
    }
  }
  nx_reply_bulk(engine, range);
}

NX_COMMAND(setrange) {
  int64_t offset = 0;
  nx_slice bytes = engine->argv[3];
  if (!nx_integer_read(engine->argv[2], &offset)) {
    nx_reply_integer_error(engine);
    return;
  }
  if (offset < 0) {
    nx_reply_error(engine, "ERR offset is out of range");
    return;
  }
  if (bytes.length == 0) {
    nx_record record;
    bool found = nx_find(engine, connection, engine->argv[1], &record);
    nx_reply_integer(engine, found ? (int64_t)record.value.length : 0);
  } else if (length_fits(engine, (uint64_t)offset, bytes.length)) {
    patch(engine, connection, (uint64_t)offset, bytes);
  }
}

static void add_integer(nx_resp *engine, nx_resp_connection *connection, int64_t amount) {
  nx_record record;
  bool found = nx_find(engine, connection, engine->argv[1], &record);
  int64_t value = 0;
  if (found && !nx_integer_read(record.value, &value)) {
    nx_reply_integer_error(engine);
    return;
  }
  if (__builtin_add_overflow(value, amount, &value)) {
    nx_reply_error(engine, "ERR increment or decrement would overflow");
    return;
  }
  char text[NX_INTEGER_TEXT_MAX];
  nx_slice printed = {(const uint8_t *)text, nx_integer_print(value, text)};
  if (nx_put(engine, connection, engine->argv[1], printed, found ? record.expires_at_ms : 0)) {
    nx_reply_integer(engine, value);
  }
}

NX_COMMAND(incr) { add_integer(engine, connection, 1); }
NX_COMMAND(decr) { add_integer(engine, connection, -1); }

NX_COMMAND(incrby) {
  int64_t amount = 0;
  if (nx_integer_read(engine->argv[2], &amount)) add_integer(engine, connection, amount);
  else nx_reply_integer_error(engine);
}

NX_COMMAND(decrby) {
  int64_t amount = 0;
  if (!nx_integer_read(engine->argv[2], &amount)) nx_reply_integer_error(engine);
  else if (amount == INT64_MIN) nx_reply_error(engine, "ERR decrement would overflow");
  else add_integer(engine, connection, -amount);
}

NX_COMMAND(incrbyfloat) {
  nx_record record;
  bool found = nx_find(engine, connection, engine->argv[1], &record);
  long double value = 0;
  long double amount = 0;
  if ((found && !nx_float_read(record.value, &value)) || !nx_float_read(engine->argv[2], &amount)) {
    nx_reply_error(engine, "ERR value is not a valid float");
    return;
  }
  value += amount;
  if (isnan(value) || isinf(value)) {
    nx_reply_error(engine, "ERR increment would produce NaN or Infinity");
    return;
  }
  char text[NX_FLOAT_TEXT_MAX];
  nx_slice printed = {(const uint8_t *)text, nx_float_print(value, text)};
  if (nx_put(engine, connection, engine->argv[1], printed, found ? record.expires_at_ms : 0)) {
    nx_reply_bulk(engine, printed);
  }
}

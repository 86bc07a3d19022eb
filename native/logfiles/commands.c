/*
 * The commands of the logfiles node: one request in, one answer or one task out.
 *
 * The order of checks is part of the protocol: name of the channel, empty value, length of the value. A request that is
 * answered with an error has been read in full, so the connection stays usable.
 */
#include <string.h>

#include "bytes.h"
#include "engine.h"
#include "record.h"

#define VERSION "20110401"
/* Content of a batch that a client may send. */
#define BATCH_BYTES_MAX (16u << 20)

enum {
  STATUS_OK = 200,
  STATUS_OUT_OF_MEMORY = 407,
  STATUS_EMPTY_VALUE = 408,
  STATUS_BAD_CHANNEL_NAME = 409,
};

static void status(nx_logfiles *engine, uint32_t value) {
  nx_buffer_append(&engine->replies, &value, 4);
  if (value != STATUS_OK) engine->errors_total += 1;
}

static void append_u64(nx_logfiles *engine, uint64_t value) { nx_buffer_append(&engine->replies, &value, 8); }

static void append_array(nx_logfiles *engine, const void *bytes, uint64_t length) {
  append_u64(engine, length);
  nx_buffer_append(&engine->replies, bytes, length);
}

/* 16 hex digits of either case. */
static bool read_key(nx_slice text, uint64_t *key) {
  uint8_t lower[NX_HEX_KEY_BYTES];
  uint32_t high, low;
  if (text.length != NX_HEX_KEY_BYTES) return false;
  for (uint32_t i = 0; i < NX_HEX_KEY_BYTES; i++) {
    uint8_t c = text.data[i];
    lower[i] = c >= 'A' && c <= 'F' ? (uint8_t)(c | 0x20) : c;
  }
  if (!nx_hex8(nx_load64(lower), &high) || !nx_hex8(nx_load64(lower + 8), &low)) return false;
  *key = (uint64_t)high << 32 | low;
  return true;
}

static void drop_bad_key(nx_logfiles *engine, nx_logfiles_connection *connection) {
  nx_events_say(&engine->events, "a key that is not 16 hex digits");
  connection->is_closing = true;
}

static bool is_name(nx_slice name) {
  return name.length <= NX_LOGS_NAME_BYTES_MAX && nx_channel_name_valid(name);
}

/* Replies 409 and returns false when no channel may be called so. */
static bool check_name(nx_logfiles *engine, nx_slice name) {
  if (is_name(name)) return true;
  status(engine, STATUS_BAD_CHANNEL_NAME);
  return false;
}

/* The channel to write to, NULL when there may be no further one. */
static nx_log_channel *channel_to_write(nx_logfiles *engine, nx_slice name) {
  nx_log_channel *channel = nx_logs_channel(engine->logs, name, false);
  if (channel != NULL) return channel;
  if (engine->logs->count >= engine->channels_max) {
    nx_events_say(&engine->events, "no further channel: there are %u", engine->logs->count);
    return NULL;
  }
  return nx_logs_channel(engine->logs, name, true);
}

static void put(nx_logfiles *engine, nx_logfiles_connection *connection, const nx_logfiles_request *request) {
  nx_log_channel *channel = nx_logs_channel(engine->logs, request->channel, false);
  if (channel == NULL && !check_name(engine, request->channel)) return;
  uint64_t key;
  if (!read_key(request->key, &key)) {
    drop_bad_key(engine, connection);
    return;
  }
  uint32_t answer = STATUS_OK;
  if (request->value.length == 0) answer = STATUS_EMPTY_VALUE;
  else if (request->value.length > NX_LOG_VALUE_BYTES_MAX || engine->is_refusing) answer = STATUS_OUT_OF_MEMORY;
  else if (channel == NULL && (channel = channel_to_write(engine, request->channel)) == NULL)
    answer = STATUS_OUT_OF_MEMORY;
  else {
    nx_logs_put(engine->logs, channel, key, request->value.data, request->value.length);
    nx_figures_action(&engine->figures, NX_ACTION_WRITTEN, request->value.length);
  }
  status(engine, answer);
}

/* --- batches -------------------------------------------------------------------------------------------- */

static bool decode_batch(nx_logfiles *engine, nx_slice array) {
  nx_buffer *content = &engine->content;
  content->length = 0;
  if (array.length < 8) return false;
  uint64_t length = nx_load64(array.data);
  if (length > BATCH_BYTES_MAX) return false;
  nx_buffer_reserve(content, length + 1);
  int64_t decoded = nx_lzo_decode(array.data + 8, array.length - 8, content->data, length);
  if (decoded < 0 || (uint64_t)decoded != length) return false;
  content->length = length;
  return true;
}

static bool read_field(const nx_buffer *content, uint64_t *at, nx_slice *field) {
  if (content->length - *at < 8) return false;
  uint64_t length = nx_load64(content->data + *at);
  if (content->length - *at - 8 < length) return false;
  *field = (nx_slice){content->data + *at + 8, length};
  *at += 8 + length;
  return true;
}

/* The status that the records deserve, 0 when they are malformed. */
static uint32_t judge_batch(const nx_buffer *content) {
  uint32_t answer = STATUS_OK;
  for (uint64_t at = 0; at < content->length;) {
    nx_slice key, value;
    uint64_t number;
    if (!read_field(content, &at, &key) || !read_field(content, &at, &value) || !read_key(key, &number)) return 0;
    if (answer != STATUS_OK) continue;
    if (value.length == 0) answer = STATUS_EMPTY_VALUE;
    else if (value.length > NX_LOG_VALUE_BYTES_MAX) answer = STATUS_OUT_OF_MEMORY;
  }
  return answer;
}

static void put_batch(nx_logfiles *engine, nx_logfiles_connection *connection,
                      const nx_logfiles_request *request) {
  nx_buffer *content = &engine->content;
  uint32_t answer = decode_batch(engine, request->value) ? judge_batch(content) : 0;
  if (answer == 0) {
    nx_events_say(&engine->events, "a batch of %llu bytes that is none", (unsigned long long)request->value.length);
    connection->is_closing = true;
    return;
  }
  if (!check_name(engine, request->channel)) return;
  if (answer == STATUS_OK && content->length > 0) {
    nx_log_channel *channel = engine->is_refusing ? NULL : channel_to_write(engine, request->channel);
    if (channel == NULL) answer = STATUS_OUT_OF_MEMORY;
    nx_slice key, value;
    uint64_t number = 0, at = 0;
    while (answer == STATUS_OK && read_field(content, &at, &key) && read_field(content, &at, &value)) {
      NX_ASSERT(read_key(key, &number));
      nx_logs_put(engine->logs, channel, number, value.data, value.length);
      nx_figures_action(&engine->figures, NX_ACTION_WRITTEN, value.length);
    }
  }
  status(engine, answer);
}

/* --- what is said of channels --------------------------------------------------------------------------- */

static void get_channels(nx_logfiles *engine) {
  status(engine, STATUS_OK);
  for (uint32_t i = 0; i < engine->logs->count; i++) {
    const nx_log_channel *channel = engine->logs->channels[i];
    if (!channel->is_removed) append_array(engine, channel->name, channel->name_length);
  }
  append_u64(engine, 0);
}

/* Status 200, address, port: what the answers about sizes begin with. */
static void append_address(nx_logfiles *engine) {
  status(engine, STATUS_OK);
  append_array(engine, engine->address, engine->address_length);
  nx_buffer_append(&engine->replies, &engine->port, 2);
}

static void get_channel_size(nx_logfiles *engine, const nx_logfiles_request *request) {
  const nx_log_channel *channel = nx_logs_channel(engine->logs, request->channel, false);
  if (channel == NULL && !check_name(engine, request->channel)) return;
  append_address(engine);
  append_u64(engine, channel == NULL ? 0 : channel->records);
  append_u64(engine, channel == NULL ? 0 : channel->value_bytes);
}

static void remove_channel(nx_logfiles *engine, const nx_logfiles_request *request) {
  nx_log_channel *channel = nx_logs_channel(engine->logs, request->channel, false);
  if (channel == NULL && !check_name(engine, request->channel)) return;
  if (engine->is_refusing) {
    status(engine, STATUS_OUT_OF_MEMORY);
    return;
  }
  if (channel != NULL) {
    nx_logs_remove(engine->logs, channel);
    engine->removals_total += 1;
  }
  status(engine, STATUS_OK);
}

/* --- tasks ---------------------------------------------------------------------------------------------- */

static void take_task(nx_logfiles *engine, nx_logfiles_connection *connection,
                      const nx_logfiles_request *request, uint64_t low, uint64_t high) {
  uint8_t header[NX_LOGFILES_TASK_BYTES];
  nx_store32(header, request->code);
  nx_store32(header + 4, request->mode);
  nx_store64(header + 8, low);
  nx_store64(header + 16, high);
  nx_store32(header + 24, (uint32_t)request->channel.length);
  nx_store32(header + 28, (uint32_t)request->value.length);
  engine->task.length = 0;
  nx_buffer_append(&engine->task, header, sizeof header);
  nx_buffer_append(&engine->task, request->channel.data, request->channel.length);
  nx_buffer_append(&engine->task, request->value.data, request->value.length);
  connection->has_task = true;
  connection->task_code = request->code;
  nx_figures_active(&engine->figures, request->code, 1);
}

static void read_records(nx_logfiles *engine, nx_logfiles_connection *connection,
                         const nx_logfiles_request *request) {
  uint64_t low = 0, high = UINT64_MAX;
  bool has_range = request->code == NX_LOGFILES_GET_RANGE || request->code == NX_LOGFILES_GET_RANGE_FILTER ||
                   request->code == NX_LOGFILES_GET_RANGE_REGEX;
  if (!check_name(engine, request->channel)) return;
  if (has_range && (!read_key(request->key, &low) || !read_key(request->high, &high))) {
    drop_bad_key(engine, connection);
    return;
  }
  if (request->code == NX_LOGFILES_GET_RANGE_REGEX && request->mode > 2) {
    nx_events_say(&engine->events, "an unknown mode of filtering, %u", request->mode);
    connection->is_closing = true;
    return;
  }
  take_task(engine, connection, request, low, high);
}

void nx_logfiles_execute(nx_logfiles *engine, nx_logfiles_connection *connection,
                         const nx_logfiles_request *request) {
  switch (request->code) {
    case NX_LOGFILES_PUT: put(engine, connection, request); return;
    case NX_LOGFILES_PUT_BATCH: put_batch(engine, connection, request); return;
    case NX_LOGFILES_GET_CHANNELS: get_channels(engine); return;
    case NX_LOGFILES_GET_CHANNEL_SIZE: get_channel_size(engine, request); return;
    case NX_LOGFILES_GET_SIZE:
      append_address(engine);
      append_u64(engine, engine->logs->records);
      append_u64(engine, engine->logs->value_bytes);
      return;
    case NX_LOGFILES_GET_RESPONSIBLE_RANGE:
      status(engine, STATUS_OK);
      append_u64(engine, engine->range_min);
      append_u64(engine, engine->range_max);
      return;
    case NX_LOGFILES_GET_NUM_CONNECTIONS:
      append_address(engine);
      append_u64(engine, engine->connections);
      return;
    case NX_LOGFILES_GET_VERSION:
      status(engine, STATUS_OK);
      append_array(engine, VERSION, sizeof VERSION - 1);
      return;
    case NX_LOGFILES_REMOVE_CHANNEL: remove_channel(engine, request); return;
    case NX_LOGFILES_REDISTRIBUTE: take_task(engine, connection, request, 0, UINT64_MAX); return;
    default: read_records(engine, connection, request); return;
  }
}

/*
 * GetAll, GetAllKeys, GetAllFilter: a channel in batches, made only as fast as the client reads.
 *
 * One slice makes a few batches, or looks at some thousand records when few are wanted; the next one is
 * made when its answers have left. Between slices only a cursor is kept. Invariant: whatever was gathered
 * is sent at the end of its slice, so nothing of a batch waits for a later one.
 */
#include "engine.h"

#include <stdlib.h>

#define SLICE_RECORDS_MAX 8192u

typedef struct {
  nx_legacy *engine;
  nx_bulk *bulk;
  uint64_t visited;
  uint64_t content_bytes; /* of the batches of this slice */
} slice;

uint64_t nx_bulk_bytes(const nx_bulk *bulk) { return sizeof *bulk + bulk->name_length + bulk->filter_length; }

void nx_bulk_drop(nx_legacy *engine, nx_legacy_connection *connection) {
  nx_figures_active(&engine->figures, connection->bulk->code, -1);
  free(connection->bulk);
  connection->bulk = NULL;
}

static void send_batch(slice *to) {
  to->content_bytes += to->engine->content.length;
  nx_batch_append(to->engine, &to->engine->replies);
  to->bulk->has_sent = true;
}

static bool is_wanted(const nx_bulk *bulk, nx_slice value) {
  if (bulk->code != NX_LEGACY_GET_ALL_FILTER) return true;
  return memmem(value.data, value.length, bulk->bytes + bulk->name_length, bulk->filter_length) != NULL;
}

static void visit(void *context, nx_slice key, const nx_record *record) {
  slice *to = context;
  nx_legacy *engine = to->engine;
  uint64_t number;
  to->visited += 1;
  if (record->value.length == 0 || !nx_hex_number(key, &number)) return;
  if (!is_wanted(to->bulk, record->value)) return;
  bool with_value = to->bulk->code != NX_LEGACY_GET_ALL_KEYS;
  uint64_t size = 8 + NX_HEX_KEY_BYTES + (with_value ? 8 + record->value.length : 0);
  uint64_t size_max = engine->settings[NX_LEGACY_BATCH_BYTES];
  if (size > size_max) {
    if (!to->bulk->has_skipped)
      nx_events_say(&engine->events,
               "skipped records that no batch holds, the first is key %.16s of channel %.*s, %llu bytes",
               (const char *)key.data, (int)to->bulk->name_length, (const char *)to->bulk->bytes,
               (unsigned long long)record->value.length);
    to->bulk->has_skipped = true;
    return;
  }
  if (engine->content.length + size > size_max) send_batch(to);
  uint8_t *at = nx_reserve(&engine->content, size);
  nx_store64(at, NX_HEX_KEY_BYTES);
  memcpy(at + 8, key.data, NX_HEX_KEY_BYTES);
  if (with_value) {
    nx_store64(at + 24, record->value.length);
    memcpy(at + 32, record->value.data, record->value.length);
  }
  engine->content.length += size;
  nx_figures_action(&engine->figures, NX_ACTION_ITERATED, with_value ? record->value.length : 0);
}

static bool is_slice_full(const slice *to) {
  if (to->visited >= SLICE_RECORDS_MAX) return true;
  if (to->content_bytes < to->engine->settings[NX_LEGACY_REPLY_SOFT_BYTES_MAX] / 4) return false;
  /* A batch that has just begun is filled first. */
  uint64_t size_max = to->engine->settings[NX_LEGACY_BATCH_BYTES];
  return to->engine->content.length == 0 || to->engine->content.length > size_max - size_max / 8;
}

void nx_bulk_continue(nx_legacy *engine, nx_legacy_connection *connection) {
  nx_bulk *bulk = connection->bulk;
  nx_channel *channel = nx_legacy_channel(engine, (nx_slice){bulk->bytes, bulk->name_length});
  /* A channel that was removed and made again is another one: this request ends with its own. */
  bool is_done = channel == NULL || nx_channel_id(channel) != bulk->channel_id ||
                 (bulk->code == NX_LEGACY_GET_ALL_FILTER && bulk->filter_length == 0);
  slice to = {engine, bulk, 0, 0};
  engine->content.length = 0;
  while (!is_done && !is_slice_full(&to)) {
    bulk->cursor = nx_channel_scan(channel, bulk->cursor, engine->now_ms, visit, &to);
    to.visited += 1;
    is_done = bulk->cursor == 0;
  }
  if (engine->content.length > 0 || (is_done && !bulk->has_sent)) send_batch(&to);
  if (!is_done) return;
  nx_append_u64(&engine->replies, 0);
  nx_bulk_drop(engine, connection);
}

void nx_bulk_start(nx_legacy *engine, nx_legacy_connection *connection, const nx_legacy_request *request) {
  bool is_filtered = request->code == NX_LEGACY_GET_ALL_FILTER;
  uint64_t filter_length = is_filtered ? request->value.length : 0;
  nx_bulk *bulk = malloc(sizeof *bulk + request->channel.length + filter_length);
  NX_ASSERT(bulk != NULL);
  nx_channel *channel = nx_legacy_channel(engine, request->channel);
  *bulk = (nx_bulk){.channel_id = channel == NULL ? 0 : nx_channel_id(channel),
                    .code = request->code,
                    .name_length = (uint32_t)request->channel.length,
                    .filter_length = filter_length};
  memcpy(bulk->bytes, request->channel.data, request->channel.length);
  if (is_filtered) nx_copy(bulk->bytes + bulk->name_length, request->value.data, filter_length);
  connection->bulk = bulk;
  nx_figures_active(&engine->figures, bulk->code, 1);
  nx_bulk_continue(engine, connection);
}

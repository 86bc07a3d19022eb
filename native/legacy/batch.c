/*
 * Batches: fields back to back, compressed, in one array.
 *
 *   u64 array length | u64 length of the content | LZO1X stream      content: { u64 length, bytes }…
 *
 * What a client sends is decoded and checked in full before the first record of it is stored.
 */
#include "engine.h"

#include <errno.h>

/* A batch that is sent to us may hold more than one of ours does. */
#define CONTENT_BYTES_MAX (16u << 20)

void nx_batch_append(nx_legacy *engine, nx_buffer *to) {
  nx_append_batch(to, &engine->content, &engine->table);
}

bool nx_batch_decode(nx_legacy *engine, nx_slice array) {
  nx_buffer *content = &engine->content;
  content->length = 0;
  if (array.length < 8) return false;
  uint64_t length = nx_load64(array.data);
  if (length > CONTENT_BYTES_MAX) return false;
  uint8_t *out = nx_reserve(content, length + 1);
  int64_t decoded = nx_lzo_decode(array.data + 8, array.length - 8, out, length);
  if (decoded < 0 || (uint64_t)decoded != length) return false;
  content->length = length;
  return true;
}

bool nx_batch_field(const nx_buffer *content, uint64_t *at, nx_slice *field) {
  if (content->length - *at < 8) return false;
  uint64_t length = nx_load64(content->data + *at);
  if (content->length - *at - 8 < length) return false;
  *field = (nx_slice){content->data + *at + 8, length};
  *at += 8 + length;
  return true;
}

/* The status that the records deserve, 0 when they are malformed. */
static uint32_t check(nx_legacy *engine) {
  const nx_buffer *content = &engine->content;
  uint32_t status = NX_STATUS_OK;
  for (uint64_t at = 0; at < content->length;) {
    nx_slice key, value;
    uint8_t scratch[NX_HEX_KEY_BYTES];
    uint64_t number;
    if (!nx_batch_field(content, &at, &key) || !nx_batch_field(content, &at, &value) ||
        !nx_key_read(&key, scratch, &number))
      return 0;
    if (status != NX_STATUS_OK) continue;
    if (!nx_owns(engine, number)) status = NX_STATUS_WRONG_NODE;
    else if (value.length == 0) status = NX_STATUS_EMPTY_VALUE;
  }
  return status;
}

static uint32_t store(nx_legacy *engine, nx_slice name) {
  if (engine->content.length == 0) return NX_STATUS_OK;
  if (engine->is_refusing) return NX_STATUS_OUT_OF_MEMORY;
  if (engine->is_redistributing) {
    uint64_t figures[2];
    nx_legacy_size(engine, figures);
    if (figures[1] > engine->redistribution_bytes_max) return NX_STATUS_OUT_OF_MEMORY;
  }
  nx_channel *channel = nx_store_channel(engine->store, name, true);
  if (channel == NULL) return NX_STATUS_OUT_OF_MEMORY;
  nx_slice key, value;
  uint8_t scratch[NX_HEX_KEY_BYTES];
  uint64_t number, at = 0;
  while (nx_batch_field(&engine->content, &at, &key) && nx_batch_field(&engine->content, &at, &value)) {
    NX_ASSERT(nx_key_read(&key, scratch, &number));
    nx_record newer;
    if (nx_may_arrive(&engine->arrival, number) && nx_channel_get(channel, key, engine->now_ms, &newer)) continue;
    if (nx_is_size_exceeded(engine, value.length) || nx_channel_put(channel, key, value, 0) != 0)
      return NX_STATUS_OUT_OF_MEMORY;
    nx_figures_action(&engine->figures, NX_ACTION_WRITTEN, value.length);
  }
  return NX_STATUS_OK;
}

uint32_t nx_batch_put(nx_legacy *engine, const nx_legacy_request *request) {
  if (!nx_batch_decode(engine, request->value)) {
    nx_events_say(&engine->events, "a batch of %llu bytes that cannot be decoded",
             (unsigned long long)request->value.length);
    return 0;
  }
  if (!nx_channel_name_valid(request->channel)) return NX_STATUS_BAD_CHANNEL_NAME;
  uint32_t status = check(engine);
  if (status == 0) nx_events_say(&engine->events, "a batch whose content is not made of keys and values");
  if (status != NX_STATUS_OK) return status;
  engine->is_silent = true;
  status = store(engine, request->channel);
  engine->is_silent = false;
  return status;
}

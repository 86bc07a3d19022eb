/*
 * GetAll: a channel in batches, made only as fast as the client reads, suspended and resumed as it likes, and continued
 * on another connection where the last batch ended.
 *
 *   node 05 Started | 07 array: batch … | 08 Finished; then the client sends 04
 *   client 01 Suspend, 02 Resume, 03 Stop, each answered 04
 *   batch content: { u64 8, u64 key, u64 length, value }…, of keys only { u64 8, u64 key }…
 *
 * Records leave in the order of scans (nx_channel_scan_order), also those of one bucket, so the last key that a client
 * has tells where to go on: every record that stays comes exactly once, whatever is written or resized meanwhile.
 */
#include <stdlib.h>

#include "dht.h"

#define SLICE_RECORDS_MAX 8192u

enum { ERROR = 6, BATCH = 7, FINISHED = 8 };

typedef struct {
  nx_neo_request request;
  uint64_t channel_id; /* 0: there is no such channel */
  uint64_t cursor;
  bool is_suspended, is_finished, keys_only, has_sent, has_skipped;
  uint32_t name_length;
  uint64_t filter_length;
  uint8_t bytes[]; /* channel name, filter */
} get_all;

typedef struct {
  uint64_t order, key;
  nx_slice value;
} found;

/* The records of one bucket, and where they go. */
typedef struct {
  nx_neo *engine;
  get_all *of;
  nx_channel *channel;
  uint64_t visited;
  nx_buffer *records; /* of `found` */
} slice;

nx_neo_outcome nx_neo_get_all_begin(nx_neo *engine, nx_neo_connection *connection, uint64_t id, nx_slice payload) {
  bool is_suspended, is_continuing, keys_only;
  nx_slice name, filter;
  uint64_t last_key;
  if (!nx_neo_take_bool(&payload, &is_suspended) || !nx_neo_take_array(&payload, &name) ||
      !nx_neo_take_bool(&payload, &is_continuing) || !nx_neo_take_u64(&payload, &last_key) ||
      !nx_neo_take_bool(&payload, &keys_only) || !nx_neo_take_array(&payload, &filter))
    return NX_NEO_BROKEN;
  if (!nx_channel_name_valid(name)) {
    nx_neo_error(engine, id, ERROR);
    return NX_NEO_DONE;
  }
  get_all *of = calloc(1, sizeof *of + name.length + filter.length);
  NX_ASSERT(of != NULL);
  of->is_suspended = is_suspended;
  of->keys_only = keys_only;
  of->name_length = (uint32_t)name.length;
  of->filter_length = filter.length;
  memcpy(of->bytes, name.data, name.length);
  nx_copy(of->bytes + name.length, filter.data, filter.length);
  nx_channel *channel = nx_store_channel(nx_neo_store(engine), name, false);
  if (channel != NULL) of->channel_id = nx_channel_id(channel);
  if (channel != NULL && is_continuing) {
    uint8_t text[NX_HEX_KEY_BYTES];
    nx_hex_text(last_key, text);
    of->cursor = nx_scan_cursor_behind(nx_channel_scan_order(channel, (nx_slice){text, sizeof text}));
    if (of->cursor == 0) of->channel_id = 0; /* nothing is behind it */
  }
  nx_neo_byte(engine, id, NX_NEO_STARTED);
  return nx_neo_keep(engine, connection, &of->request, id, NX_NEO_GET_ALL);
}

nx_neo_outcome nx_neo_get_all_message(nx_neo *engine, nx_neo_request *request, nx_slice payload) {
  get_all *of = (get_all *)request;
  uint8_t kind;
  if (!nx_neo_take_u8(&payload, &kind) || payload.length != 0) return NX_NEO_BROKEN;
  if (of->is_finished) return kind == NX_NEO_ACK ? NX_NEO_DONE : NX_NEO_KEPT;
  if (kind != NX_NEO_SUSPEND && kind != NX_NEO_RESUME && kind != NX_NEO_STOP) return NX_NEO_BROKEN;
  if (kind != NX_NEO_STOP) of->is_suspended = kind == NX_NEO_SUSPEND;
  nx_neo_byte(engine, request->id, NX_NEO_ACK);
  return kind == NX_NEO_STOP ? NX_NEO_DONE : NX_NEO_KEPT;
}

bool nx_neo_get_all_waits(const nx_neo_request *request) {
  const get_all *of = (const get_all *)request;
  return !of->is_suspended && !of->is_finished;
}

static void send_batch(nx_neo *engine, get_all *of) {
  nx_neo_dht *dht = nx_neo_context(engine);
  uint64_t place = nx_neo_open(engine, of->request.id);
  uint8_t kind = BATCH;
  nx_buffer_append(nx_neo_replies(engine), &kind, 1);
  nx_append_batch(nx_neo_replies(engine), &dht->content, &dht->table);
  nx_neo_close(engine, place);
  of->has_sent = true;
}

static void gather(void *context, nx_slice key, const nx_record *record) {
  slice *to = context;
  const get_all *of = to->of;
  uint64_t number;
  to->visited += 1;
  if (record->value.length == 0 || !nx_hex_number(key, &number)) return;
  if (of->filter_length != 0 && memmem(record->value.data, record->value.length, of->bytes + of->name_length,
                                       of->filter_length) == NULL)
    return;
  found one = {nx_channel_scan_order(to->channel, key), number, record->value};
  nx_buffer_append(to->records, &one, sizeof one);
}

static int by_order(const void *left, const void *right) {
  uint64_t a = ((const found *)left)->order, b = ((const found *)right)->order;
  return a < b ? -1 : a > b;
}

static void add(slice *to, const found *record) {
  nx_neo_dht *dht = nx_neo_context(to->engine);
  uint64_t size_max = nx_neo_setting(to->engine, NX_NEO_BATCH_BYTES);
  bool keys_only = to->of->keys_only;
  uint64_t size = 16 + (keys_only ? 0 : 8 + record->value.length);
  if (size > size_max) {
    if (!to->of->has_skipped)
      nx_events_say(nx_neo_events(to->engine), "skipped records that no batch holds, the first is key %016llx, %llu bytes",
                   (unsigned long long)record->key, (unsigned long long)record->value.length);
    to->of->has_skipped = true;
    return;
  }
  if (dht->content.length + size > size_max) send_batch(to->engine, to->of);
  nx_append_u64(&dht->content, 8);
  nx_append_u64(&dht->content, record->key);
  if (!keys_only) nx_append_array(&dht->content, record->value);
  nx_figures_action(nx_neo_figures(to->engine), NX_ACTION_ITERATED, keys_only ? 0 : record->value.length);
}

nx_neo_outcome nx_neo_get_all_pump(nx_neo *engine, nx_neo_request *request) {
  get_all *of = (get_all *)request;
  nx_neo_dht *dht = nx_neo_context(engine);
  nx_channel *channel = nx_store_channel(nx_neo_store(engine), (nx_slice){of->bytes, of->name_length}, false);
  /* A channel that was removed and made again is another one: this request ends with its own. */
  bool is_done = channel == NULL || nx_channel_id(channel) != of->channel_id;
  slice to = {.engine = engine, .of = of, .channel = channel, .records = &dht->bucket};
  dht->content.length = 0;
  while (!is_done && !nx_neo_is_full(engine) && to.visited < SLICE_RECORDS_MAX) {
    dht->bucket.length = 0;
    of->cursor = nx_channel_scan(channel, of->cursor, nx_neo_now_ms(engine), gather, &to);
    to.visited += 1;
    found *records = (found *)dht->bucket.data;
    uint64_t count = dht->bucket.length / sizeof *records;
    if (count > 1) qsort(records, count, sizeof *records, by_order);
    for (uint64_t i = 0; i < count; i++) add(&to, &records[i]);
    is_done = of->cursor == 0;
  }
  if (dht->content.length > 0 || (is_done && !of->has_sent)) send_batch(engine, of);
  if (!is_done) return NX_NEO_KEPT;
  nx_neo_byte(engine, request->id, FINISHED);
  of->is_finished = true;
  return NX_NEO_KEPT;
}

/*
 * Mirror: a client is told of each change of a channel, and now and then of all its records.
 *
 *   node 05 Started | 07 u64 key, array value: changed | 08 u64 key: deleted | 09 array: batch of a refresh
 *        0a the channel is removed; then the client sends 04 | 0b changes were dropped
 *   client 01 Suspend, 02 Resume, 03 Stop, each answered 04
 *   batch content: { u64 key, u64 length, value }…, cut at 64 KiB or more
 *
 * A Mirror keeps the keys that changed, bounded (256 KiB of 16 bytes each), and looks the value up when it sends; what finds
 * the queue full is dropped, and its client told once a second at most. The Mirrors of a channel form a list that the
 * channel carries (nx_channel_mirrors), so writing to channels that nobody mirrors costs one comparison.
 */
#include <stdlib.h>

#include "dht.h"

#define RING_MIN 16u
#define REFRESH_BATCH_BYTES 65536u
#define SLICE_RECORDS_MAX 8192u
#define OVERFLOW_PAUSE_MS 1000

enum { ERROR = 6, CHANGED = 7, DELETED = 8, REFRESH = 9, CHANNEL_REMOVED = 10, OVERFLOW = 11 };

typedef struct {
  uint64_t key;
  uint64_t is_deleted;
} change_of;

typedef struct mirror mirror;
struct mirror {
  nx_neo_request request;
  nx_neo *engine;
  mirror *next, *previous; /* of the same channel */
  nx_channel *channel;     /* NULL: it was removed */
  change_of *ring;
  uint32_t capacity; /* a power of two */
  uint32_t head, count;
  uint64_t cursor; /* of the refresh under way */
  int64_t refresh_at_ms; /* the next one; INT64_MAX: none */
  int64_t overflow_told_ms;
  uint32_t period_s;
  bool is_suspended, is_refreshing, has_overflowed, is_removal_told, has_skipped;
};

static void link_to_channel(mirror *of, nx_channel *channel) {
  void **first = nx_channel_mirrors(channel);
  of->channel = channel;
  of->next = *first;
  if (of->next != NULL) of->next->previous = of;
  *first = of;
}

static void unlink_from_channel(mirror *of) {
  if (of->channel == NULL) return;
  if (of->next != NULL) of->next->previous = of->previous;
  if (of->previous != NULL) of->previous->next = of->next;
  else *nx_channel_mirrors(of->channel) = of->next;
  of->channel = NULL;
}

nx_neo_outcome nx_neo_mirror_begin(nx_neo *engine, nx_neo_connection *connection, uint64_t id, nx_slice payload) {
  bool is_suspended, wants_refresh;
  nx_slice name;
  uint32_t period_s;
  if (!nx_neo_take_bool(&payload, &is_suspended) || !nx_neo_take_array(&payload, &name) ||
      !nx_neo_take_bool(&payload, &wants_refresh) || !nx_neo_take_u32(&payload, &period_s))
    return NX_NEO_BROKEN;
  nx_channel *channel = nx_store_channel(nx_neo_store(engine), name, true);
  if (channel == NULL) {
    nx_neo_error(engine, id, ERROR);
    return NX_NEO_DONE;
  }
  mirror *of = calloc(1, sizeof *of);
  NX_ASSERT(of != NULL);
  of->engine = engine;
  of->is_suspended = is_suspended;
  of->is_refreshing = wants_refresh;
  of->period_s = period_s;
  of->refresh_at_ms = period_s == 0 ? INT64_MAX : nx_neo_now_ms(engine) + (int64_t)period_s * 1000;
  of->overflow_told_ms = INT64_MIN / 2;
  link_to_channel(of, channel);
  nx_neo_byte(engine, id, NX_NEO_STARTED);
  return nx_neo_keep(engine, connection, &of->request, id, NX_NEO_MIRROR);
}

void nx_neo_mirror_drop(nx_neo_request *request) {
  mirror *of = (mirror *)request;
  unlink_from_channel(of);
  free(of->ring);
}

nx_neo_outcome nx_neo_mirror_message(nx_neo *engine, nx_neo_request *request, nx_slice payload) {
  mirror *of = (mirror *)request;
  uint8_t kind;
  if (!nx_neo_take_u8(&payload, &kind) || payload.length != 0) return NX_NEO_BROKEN;
  if (of->is_removal_told) return kind == NX_NEO_ACK ? NX_NEO_DONE : NX_NEO_KEPT;
  if (kind != NX_NEO_SUSPEND && kind != NX_NEO_RESUME && kind != NX_NEO_STOP) return NX_NEO_BROKEN;
  if (kind != NX_NEO_STOP) of->is_suspended = kind == NX_NEO_SUSPEND;
  nx_neo_byte(engine, request->id, NX_NEO_ACK);
  return kind == NX_NEO_STOP ? NX_NEO_DONE : NX_NEO_KEPT;
}

/* --- what changes ---------------------------------------------------------------------------------------- */

/* Doubles the ring; the changes lie in order afterwards. */
static void grow(mirror *of) {
  uint32_t capacity = of->capacity == 0 ? RING_MIN : of->capacity * 2;
  change_of *ring = malloc(capacity * sizeof *ring);
  NX_ASSERT(ring != NULL);
  for (uint32_t i = 0; i < of->count; i++) ring[i] = of->ring[(of->head + i) & (of->capacity - 1)];
  free(of->ring);
  of->ring = ring;
  of->capacity = capacity;
  of->head = 0;
}

static void push(mirror *of, uint64_t key, bool is_deleted) {
  nx_neo_urge(of->engine);
  if (of->count == nx_neo_setting(of->engine, NX_NEO_UPDATES_MAX)) {
    of->has_overflowed = true;
    return;
  }
  if (of->count == of->capacity) grow(of);
  of->ring[(of->head + of->count) & (of->capacity - 1)] = (change_of){key, is_deleted};
  of->count += 1;
}

void nx_neo_mirror_observe(void *context, nx_channel *channel, nx_change change, nx_slice key) {
  mirror *of = *nx_channel_mirrors(channel);
  if (of == NULL) return;
  if (change == NX_CHANGE_CHANNEL) {
    *nx_channel_mirrors(channel) = NULL;
    for (; of != NULL; of = of->next) of->channel = NULL;
    nx_neo_urge(context);
    return;
  }
  uint64_t number;
  if (change == NX_CHANGE_EXPIRY || !nx_hex_number(key, &number)) return;
  for (; of != NULL; of = of->next) push(of, number, change == NX_CHANGE_REMOVE);
}

bool nx_neo_mirror_waits(const nx_neo_request *request, int64_t now_ms) {
  const mirror *of = (const mirror *)request;
  if (of->channel == NULL) return !of->is_removal_told;
  if (of->is_suspended) return false;
  return of->count > 0 || of->is_refreshing || now_ms >= of->refresh_at_ms ||
         (of->has_overflowed && now_ms - of->overflow_told_ms >= OVERFLOW_PAUSE_MS);
}

/* --- what is sent ---------------------------------------------------------------------------------------- */

static void send_change(nx_neo *engine, mirror *of, const change_of *change) {
  nx_record record;
  /* A record that was changed and is gone by now has its removal further behind; one without a value is none. */
  bool is_there = change->is_deleted == 0 && nx_neo_find_record(engine, of->channel, change->key, &record);
  uint64_t place = nx_neo_open(engine, of->request.id);
  nx_buffer *to = nx_neo_replies(engine);
  uint8_t kind = is_there ? CHANGED : DELETED;
  nx_buffer_append(to, &kind, 1);
  nx_append_u64(to, change->key);
  if (is_there) nx_append_array(to, record.value);
  nx_neo_close(engine, place);
  nx_figures_action(nx_neo_figures(engine), NX_ACTION_FORWARDED, is_there ? record.value.length : 0);
}

static void send_refresh_batch(nx_neo *engine, const mirror *of) {
  nx_neo_dht *dht = nx_neo_context(engine);
  uint64_t place = nx_neo_open(engine, of->request.id);
  uint8_t kind = REFRESH;
  nx_buffer_append(nx_neo_replies(engine), &kind, 1);
  nx_append_batch(nx_neo_replies(engine), &dht->content, &dht->table);
  nx_neo_close(engine, place);
}

typedef struct {
  mirror *of;
  uint64_t visited;
} refresh;

static void add_refreshed(void *context, nx_slice key, const nx_record *record) {
  refresh *to = context;
  nx_neo *engine = to->of->engine;
  nx_neo_dht *dht = nx_neo_context(engine);
  uint64_t number;
  to->visited += 1;
  if (record->value.length == 0 || !nx_hex_number(key, &number)) return;
  if (record->value.length > nx_neo_setting(engine, NX_NEO_BATCH_BYTES)) {
    if (!to->of->has_skipped)
      nx_events_say(nx_neo_events(engine), "a refresh leaves records out that no batch holds, key %016llx is one",
                   (unsigned long long)number);
    to->of->has_skipped = true;
    return;
  }
  nx_append_u64(&dht->content, number);
  nx_append_array(&dht->content, record->value);
  nx_figures_action(nx_neo_figures(engine), NX_ACTION_FORWARDED, record->value.length);
  if (dht->content.length >= REFRESH_BATCH_BYTES) send_refresh_batch(engine, to->of);
}

static void send_refresh(nx_neo *engine, mirror *of) {
  nx_neo_dht *dht = nx_neo_context(engine);
  refresh to = {of, 0};
  dht->content.length = 0;
  while (of->is_refreshing && !nx_neo_is_full(engine) && to.visited < SLICE_RECORDS_MAX) {
    of->cursor = nx_channel_scan(of->channel, of->cursor, nx_neo_now_ms(engine), add_refreshed, &to);
    to.visited += 1;
    of->is_refreshing = of->cursor != 0;
  }
  if (dht->content.length > 0) send_refresh_batch(engine, of);
}

nx_neo_outcome nx_neo_mirror_pump(nx_neo *engine, nx_neo_request *request) {
  mirror *of = (mirror *)request;
  if (of->channel == NULL) {
    nx_neo_byte(engine, request->id, CHANNEL_REMOVED);
    of->is_removal_told = true;
    return NX_NEO_KEPT;
  }
  int64_t now_ms = nx_neo_now_ms(engine);
  if (of->has_overflowed && now_ms - of->overflow_told_ms >= OVERFLOW_PAUSE_MS) {
    nx_neo_byte(engine, request->id, OVERFLOW);
    of->has_overflowed = false;
    of->overflow_told_ms = now_ms;
  }
  while (of->count > 0 && !nx_neo_is_full(engine)) {
    send_change(engine, of, &of->ring[of->head]);
    of->head = (of->head + 1) & (of->capacity - 1);
    of->count -= 1;
  }
  if (of->count == 0 && of->capacity > 1024) {
    free(of->ring);
    of->ring = NULL;
    of->capacity = of->head = 0;
  }
  if (now_ms >= of->refresh_at_ms && !of->is_refreshing) {
    of->is_refreshing = true;
    of->refresh_at_ms = now_ms + (int64_t)of->period_s * 1000;
  }
  if (of->is_refreshing) send_refresh(engine, of);
  return NX_NEO_KEPT;
}

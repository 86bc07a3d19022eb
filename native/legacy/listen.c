/*
 * Listen: connections that are told of each change of a channel's records.
 *
 * A listener keeps the numbers of changed keys, bounded, and looks the value up when it sends; a key that
 * is gone by then is sent with an empty value. What finds the queue full is dropped and told of in the log.
 * The listeners of a channel form a list that the channel carries (nx_channel_attachment), so writing to
 * channels that nobody listens to costs one comparison.
 */
#include "engine.h"

#include <stdlib.h>

#define RING_MIN 16u

struct nx_listener {
  nx_listener *next, *previous;
  nx_legacy *engine;
  nx_channel *channel; /* NULL: it was removed, the stream ends */
  uint64_t *ring;
  uint32_t capacity; /* a power of two */
  uint32_t head, count;
  uint64_t dropped;
};

static void link(nx_listener *listener, nx_channel *channel) {
  void **first = nx_channel_attachment(channel);
  listener->channel = channel;
  listener->previous = NULL;
  listener->next = *first;
  if (listener->next != NULL) listener->next->previous = listener;
  *first = listener;
}

static void unlink_from_channel(nx_listener *listener) {
  if (listener->channel == NULL) return;
  if (listener->next != NULL) listener->next->previous = listener->previous;
  if (listener->previous != NULL) listener->previous->next = listener->next;
  else *nx_channel_attachment(listener->channel) = listener->next;
  listener->channel = NULL;
}

void nx_listen_start(nx_legacy *engine, nx_legacy_connection *connection, nx_channel *channel) {
  nx_listener *listener = calloc(1, sizeof *listener);
  NX_ASSERT(listener != NULL);
  listener->engine = engine;
  link(listener, channel);
  connection->listener = listener;
  engine->listeners += 1;
  nx_figures_active(&engine->figures, NX_LEGACY_LISTEN, 1);
}

void nx_listen_drop(nx_legacy *engine, nx_legacy_connection *connection) {
  unlink_from_channel(connection->listener);
  free(connection->listener->ring);
  free(connection->listener);
  connection->listener = NULL;
  engine->listeners -= 1;
  nx_figures_active(&engine->figures, NX_LEGACY_LISTEN, -1);
}

/* Doubles the ring; the updates lie in order afterwards. */
static void grow(nx_listener *listener) {
  uint32_t capacity = listener->capacity == 0 ? RING_MIN : listener->capacity * 2;
  uint64_t *ring = malloc(capacity * sizeof *ring);
  NX_ASSERT(ring != NULL);
  for (uint32_t i = 0; i < listener->count; i++)
    ring[i] = listener->ring[(listener->head + i) & (listener->capacity - 1)];
  free(listener->ring);
  listener->ring = ring;
  listener->capacity = capacity;
  listener->head = 0;
}

static void push(nx_listener *listener, uint64_t number) {
  nx_legacy *engine = listener->engine;
  uint64_t updates_max = engine->settings[NX_LEGACY_LISTEN_UPDATES_MAX];
  if (listener->count == updates_max) {
    if (listener->dropped++ == 0) {
      nx_slice name = nx_channel_name(listener->channel);
      nx_events_say(&engine->events,
               "a listener of channel %.*s does not read: %llu updates wait, further ones are dropped",
               (int)name.length, (const char *)name.data, (unsigned long long)updates_max);
    }
    return;
  }
  if (listener->count == listener->capacity) grow(listener);
  listener->ring[(listener->head + listener->count) & (listener->capacity - 1)] = number;
  listener->count += 1;
  if (listener->count == updates_max / 8) engine->block[NX_LEGACY_URGENT] = 1;
}

void nx_listen_observe(void *context, nx_channel *channel, nx_change change, nx_slice key) {
  nx_legacy *engine = context;
  nx_listener *listener = *nx_channel_attachment(channel);
  if (change == NX_CHANGE_CHANNEL) {
    if (engine->channel == channel) engine->channel = NULL;
    *nx_channel_attachment(channel) = NULL;
    for (; listener != NULL; listener = listener->next) {
      listener->channel = NULL;
      engine->block[NX_LEGACY_URGENT] = 1;
    }
    return;
  }
  uint64_t number;
  if (listener == NULL || change != NX_CHANGE_VALUE || engine->is_silent) return;
  if (!nx_hex_number(key, &number)) return;
  for (; listener != NULL; listener = listener->next) push(listener, number);
}

uint32_t nx_listen_waiting(nx_legacy_connection *connection) {
  return connection->listener->channel == NULL ? UINT32_MAX : connection->listener->count;
}

static void send_update(nx_legacy *engine, nx_channel *channel, uint64_t number) {
  uint8_t text[NX_HEX_KEY_BYTES];
  nx_hex_text(number, text);
  nx_slice key = {text, NX_HEX_KEY_BYTES};
  nx_record record;
  nx_slice value = {NULL, 0};
  if (nx_channel_get(channel, key, engine->now_ms, &record)) value = record.value;
  nx_append_array(&engine->replies, key);
  nx_append_array(&engine->replies, value);
  nx_figures_action(&engine->figures, NX_ACTION_FORWARDED, value.length);
}

void nx_listen_continue(nx_legacy *engine, nx_legacy_connection *connection) {
  nx_listener *listener = connection->listener;
  if (listener->channel == NULL) {
    nx_append_u64(&engine->replies, 0);
    nx_append_u64(&engine->replies, 0);
    nx_listen_drop(engine, connection);
    return;
  }
  while (listener->count > 0 && engine->replies.length < engine->settings[NX_LEGACY_REPLY_SOFT_BYTES_MAX]) {
    send_update(engine, listener->channel, listener->ring[listener->head]);
    listener->head = (listener->head + 1) & (listener->capacity - 1);
    listener->count -= 1;
  }
  if (listener->count > 0) return;
  if (listener->dropped > 0)
    nx_events_say(&engine->events, "a listener reads again: %llu updates were dropped",
             (unsigned long long)listener->dropped);
  listener->dropped = 0;
  if (listener->capacity > 1024) {
    free(listener->ring);
    listener->ring = NULL;
    listener->capacity = 0;
    listener->head = 0;
  }
}

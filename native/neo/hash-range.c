/*
 * GetHashRange: the node's range now, then for ever what changes.
 *
 *   first message: u64 min, u64 max      01 u32 address, u16 port (both first byte first), u64 min, u64 max: another node
 *                                        02 u64 min, u64 max: the node's own range has changed
 *
 * Events are kept for as long as the node lives, a few for each redistribution, and each client has a place in
 * their sequence: one that asks late is told of the other nodes, too.
 */
#include <arpa/inet.h>
#include <stdlib.h>

#include "dht.h"

#define EVENTS_MAX 65536u

typedef struct {
  nx_neo_request request;
  uint64_t told; /* bytes of range_events */
  const nx_neo_dht *dht;
} hash_range;

static void tell(nx_neo *engine, uint64_t id, const nx_neo_range_event *event) {
  enum { OTHER_NODE = 1, OWN_RANGE = 2 };
  uint64_t place = nx_neo_open(engine, id);
  nx_buffer *to = nx_neo_replies(engine);
  uint8_t kind = event->address == 0 ? OWN_RANGE : OTHER_NODE;
  nx_buffer_append(to, &kind, 1);
  if (kind == OTHER_NODE) {
    uint32_t address = htonl(event->address);
    uint16_t port = htons(event->port);
    nx_buffer_append(to, &address, sizeof address);
    nx_buffer_append(to, &port, sizeof port);
  }
  nx_append_u64(to, event->min);
  nx_append_u64(to, event->max);
  nx_neo_close(engine, place);
}

nx_neo_outcome nx_neo_hash_range_begin(nx_neo *engine, nx_neo_connection *connection, uint64_t id) {
  const nx_neo_dht *dht = nx_neo_context(engine);
  hash_range *kept = calloc(1, sizeof *kept);
  NX_ASSERT(kept != NULL);
  kept->dht = dht;
  uint64_t place = nx_neo_open(engine, id);
  nx_append_u64(nx_neo_replies(engine), dht->range_min);
  nx_append_u64(nx_neo_replies(engine), dht->range_max);
  nx_neo_close(engine, place);
  /* Of what was before, other nodes are still worth telling; the node's own range is above. */
  for (; kept->told < dht->range_events.length; kept->told += sizeof(nx_neo_range_event)) {
    nx_neo_range_event event;
    memcpy(&event, dht->range_events.data + kept->told, sizeof event);
    if (event.address != 0) tell(engine, id, &event);
  }
  return nx_neo_keep(engine, connection, &kept->request, id, NX_NEO_GET_HASH_RANGE);
}

nx_neo_outcome nx_neo_hash_range_pump(nx_neo *engine, nx_neo_request *request) {
  hash_range *kept = (hash_range *)request;
  const nx_buffer *events = &kept->dht->range_events;
  for (; kept->told < events->length; kept->told += sizeof(nx_neo_range_event)) {
    nx_neo_range_event event;
    memcpy(&event, events->data + kept->told, sizeof event);
    tell(engine, request->id, &event);
  }
  return NX_NEO_KEPT;
}

bool nx_neo_hash_range_waits(const nx_neo_request *request) {
  const hash_range *kept = (const hash_range *)request;
  return kept->told < kept->dht->range_events.length;
}

static void add(nx_neo *engine, nx_neo_range_event event) {
  nx_neo_dht *dht = nx_neo_context(engine);
  if (dht->range_events.length >= EVENTS_MAX * sizeof event) return;
  nx_buffer_append(&dht->range_events, &event, sizeof event);
  nx_neo_urge(engine);
}

void nx_neo_set_range(nx_neo *engine, uint64_t min, uint64_t max) {
  nx_neo_dht *dht = nx_neo_context(engine);
  if (dht->range_min == min && dht->range_max == max) return;
  dht->range_min = min;
  dht->range_max = max;
  add(engine, (nx_neo_range_event){.min = min, .max = max});
}

void nx_neo_tell_node(nx_neo *engine, uint32_t address, uint32_t port, uint64_t min, uint64_t max) {
  if (address != 0) add(engine, (nx_neo_range_event){address, (uint16_t)port, min, max});
}

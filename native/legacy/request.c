/* See request.h. */
#include "request.h"

#include "bytes.h"

typedef struct {
  const uint8_t *bytes;
  uint64_t length, at;
  uint64_t array_bytes_max;
  nx_legacy_request *out;
} reader;

static nx_legacy_parsed read_u64(reader *r, uint64_t *value) {
  if (r->length - r->at < 8) return NX_LEGACY_INCOMPLETE;
  *value = nx_load64(r->bytes + r->at);
  r->at += 8;
  return NX_LEGACY_COMPLETE;
}

static nx_legacy_parsed read_array(reader *r, uint64_t bytes_max, nx_legacy_parsed when_longer,
                                   nx_slice *array) {
  uint64_t size = 0;
  if (read_u64(r, &size) != NX_LEGACY_COMPLETE) return NX_LEGACY_INCOMPLETE;
  if (size > bytes_max) {
    r->out->skip = size;
    return when_longer;
  }
  if (r->length - r->at < size) return NX_LEGACY_INCOMPLETE;
  *array = (nx_slice){r->bytes + r->at, size};
  r->at += size;
  return NX_LEGACY_COMPLETE;
}

static nx_legacy_parsed read_field(reader *r, nx_slice *field) {
  return read_array(r, r->array_bytes_max, NX_LEGACY_OVERSIZED, field);
}

/* The nodes of a Redistribute; together they may be as long as one array. */
static nx_legacy_parsed read_nodes(reader *r) {
  uint64_t start = r->at;
  for (;;) {
    nx_slice address = {NULL, 0};
    nx_legacy_parsed parsed = read_field(r, &address);
    if (parsed != NX_LEGACY_COMPLETE) return parsed;
    if (r->at - start > r->array_bytes_max) {
      r->out->skip = 0;
      return NX_LEGACY_OVERSIZED;
    }
    if (address.length == 0) break;
    if (r->length - r->at < 18) return NX_LEGACY_INCOMPLETE;
    r->at += 18;
  }
  r->out->nodes = (nx_slice){r->bytes + start, r->at - start};
  return NX_LEGACY_COMPLETE;
}

static nx_legacy_parsed read_redistribute(reader *r) {
  if (read_u64(r, &r->out->min) != NX_LEGACY_COMPLETE) return NX_LEGACY_INCOMPLETE;
  if (read_u64(r, &r->out->max) != NX_LEGACY_COMPLETE) return NX_LEGACY_INCOMPLETE;
  return read_nodes(r);
}

static nx_legacy_parsed read_rest(reader *r, uint64_t value_bytes_max) {
  nx_legacy_request *out = r->out;
  nx_legacy_parsed parsed;
  switch (out->code) {
    case NX_LEGACY_GET_CHANNELS:
    case NX_LEGACY_GET_SIZE:
    case NX_LEGACY_GET_RESPONSIBLE_RANGE:
    case NX_LEGACY_GET_NUM_CONNECTIONS:
    case NX_LEGACY_GET_VERSION:
      return NX_LEGACY_COMPLETE;
    case NX_LEGACY_PUT:
    case NX_LEGACY_GET:
    case NX_LEGACY_EXISTS:
    case NX_LEGACY_REMOVE:
      if ((parsed = read_field(r, &out->channel)) != NX_LEGACY_COMPLETE) return parsed;
      if ((parsed = read_field(r, &out->key)) != NX_LEGACY_COMPLETE) return parsed;
      if (out->code != NX_LEGACY_PUT) return NX_LEGACY_COMPLETE;
      return read_array(r, value_bytes_max, NX_LEGACY_VALUE_TOO_BIG, &out->value);
    case NX_LEGACY_GET_CHANNEL_SIZE:
    case NX_LEGACY_REMOVE_CHANNEL:
    case NX_LEGACY_LISTEN:
    case NX_LEGACY_GET_ALL:
    case NX_LEGACY_GET_ALL_KEYS:
      return read_field(r, &out->channel);
    case NX_LEGACY_GET_ALL_FILTER:
    case NX_LEGACY_PUT_BATCH:
      if ((parsed = read_field(r, &out->channel)) != NX_LEGACY_COMPLETE) return parsed;
      return read_field(r, &out->value);
    case NX_LEGACY_REDISTRIBUTE_REQUEST:
      return read_redistribute(r);
    default:
      return NX_LEGACY_UNKNOWN;
  }
}

nx_legacy_parsed nx_legacy_parse(const uint8_t *bytes, uint64_t length, uint64_t array_bytes_max,
                                 uint64_t value_bytes_max, nx_legacy_request *out) {
  *out = (nx_legacy_request){0};
  if (length < 4) return NX_LEGACY_INCOMPLETE;
  out->code = nx_load32(bytes);
  reader r = {bytes, length, 4, array_bytes_max, out};
  nx_legacy_parsed parsed = read_rest(&r, value_bytes_max);
  out->length = r.at;
  return parsed;
}

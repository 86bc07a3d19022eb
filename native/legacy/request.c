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

/* Arrays with `extra` bytes behind each, up to an empty one; together they may be as long as one array. */
static nx_legacy_parsed read_list(reader *r, uint64_t extra) {
  uint64_t start = r->at;
  for (;;) {
    nx_slice item = {NULL, 0};
    nx_legacy_parsed parsed = read_field(r, &item);
    if (parsed != NX_LEGACY_COMPLETE) return parsed;
    if (r->at - start > r->array_bytes_max) {
      r->out->skip = 0;
      return NX_LEGACY_OVERSIZED;
    }
    if (item.length == 0) break;
    if (r->length - r->at < extra) return NX_LEGACY_INCOMPLETE;
    r->at += extra;
  }
  r->out->nodes = (nx_slice){r->bytes + start, r->at - start};
  return NX_LEGACY_COMPLETE;
}

static nx_legacy_parsed read_redistribute(reader *r) {
  if (read_u64(r, &r->out->min) != NX_LEGACY_COMPLETE) return NX_LEGACY_INCOMPLETE;
  if (read_u64(r, &r->out->max) != NX_LEGACY_COMPLETE) return NX_LEGACY_INCOMPLETE;
  return read_list(r, 2 + 8 + 8);
}

static nx_legacy_parsed read_one(reader *r, char what, uint64_t value_bytes_max) {
  nx_legacy_request *out = r->out;
  switch (what) {
    case 'c': return read_field(r, &out->channel);
    case 'k': return read_field(r, &out->key);
    case 'd': return read_field(r, &out->value);
    case 'v': return read_array(r, value_bytes_max, NX_LEGACY_VALUE_TOO_BIG, &out->value);
    case 'l': return read_list(r, 0);
    default: return read_redistribute(r);
  }
}

nx_legacy_parsed nx_legacy_parse(const char *const *shapes, const uint8_t *bytes, uint64_t length,
                                 uint64_t array_bytes_max, uint64_t value_bytes_max, nx_legacy_request *out) {
  *out = (nx_legacy_request){0};
  if (length < 4) return NX_LEGACY_INCOMPLETE;
  out->code = nx_load32(bytes);
  const char *shape = out->code < NX_LEGACY_CODES ? shapes[out->code] : NULL;
  reader r = {bytes, length, 4, array_bytes_max, out};
  nx_legacy_parsed parsed = shape == NULL ? NX_LEGACY_UNKNOWN : NX_LEGACY_COMPLETE;
  for (; parsed == NX_LEGACY_COMPLETE && *shape != 0; shape++) parsed = read_one(&r, *shape, value_bytes_max);
  out->length = r.at;
  return parsed;
}

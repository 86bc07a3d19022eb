/* See request.h. */
#include "request.h"

#include "bytes.h"

/* The fields behind a code, in order. */
typedef enum { END, CHANNEL, KEY, HIGH, MODE, VALUE, NODES } field;

static const field *fields_of(uint32_t code) {
  static const field put[] = {CHANNEL, KEY, VALUE, END}, none[] = {END}, channel[] = {CHANNEL, END},
                     range[] = {CHANNEL, KEY, HIGH, END}, value[] = {CHANNEL, VALUE, END},
                     filter[] = {CHANNEL, KEY, HIGH, VALUE, END},
                     regex[] = {CHANNEL, KEY, HIGH, MODE, VALUE, END}, nodes[] = {NODES, END};
  switch (code) {
    case NX_LOGFILES_PUT: return put;
    case NX_LOGFILES_GET_CHANNELS:
    case NX_LOGFILES_GET_SIZE:
    case NX_LOGFILES_GET_RESPONSIBLE_RANGE:
    case NX_LOGFILES_GET_NUM_CONNECTIONS:
    case NX_LOGFILES_GET_VERSION: return none;
    case NX_LOGFILES_GET_CHANNEL_SIZE:
    case NX_LOGFILES_REMOVE_CHANNEL:
    case NX_LOGFILES_GET_ALL:
    case NX_LOGFILES_GET_ALL_KEYS: return channel;
    case NX_LOGFILES_GET_RANGE: return range;
    case NX_LOGFILES_GET_ALL_FILTER:
    case NX_LOGFILES_PUT_BATCH: return value;
    case NX_LOGFILES_GET_RANGE_FILTER: return filter;
    case NX_LOGFILES_GET_RANGE_REGEX: return regex;
    case NX_LOGFILES_REDISTRIBUTE: return nodes;
    default: return NULL;
  }
}

typedef struct {
  const uint8_t *bytes;
  uint64_t length, at;
  uint64_t array_bytes_max;
  nx_logfiles_request *out;
} reader;

static nx_logfiles_parsed read_array(reader *r, nx_slice *array) {
  if (r->length - r->at < 8) return NX_LOGFILES_INCOMPLETE;
  uint64_t size = nx_load64(r->bytes + r->at);
  r->at += 8;
  if (size > r->array_bytes_max) {
    r->out->skip = size;
    return NX_LOGFILES_OVERSIZED;
  }
  if (r->length - r->at < size) return NX_LOGFILES_INCOMPLETE;
  *array = (nx_slice){r->bytes + r->at, size};
  r->at += size;
  return NX_LOGFILES_COMPLETE;
}

static nx_logfiles_parsed read_mode(reader *r) {
  if (r->length == r->at) return NX_LOGFILES_INCOMPLETE;
  r->out->mode = r->bytes[r->at++];
  return NX_LOGFILES_COMPLETE;
}

/* The fraction and the nodes, together not longer than one array may be. */
static nx_logfiles_parsed read_nodes(reader *r) {
  uint64_t start = r->at;
  if (r->length - r->at < 4) return NX_LOGFILES_INCOMPLETE;
  r->at += 4;
  for (;;) {
    nx_slice address = {NULL, 0};
    nx_logfiles_parsed parsed = read_array(r, &address);
    if (parsed != NX_LOGFILES_COMPLETE) return parsed;
    if (r->at - start > r->array_bytes_max) return NX_LOGFILES_OVERSIZED;
    if (address.length == 0) break;
    if (r->length - r->at < 2) return NX_LOGFILES_INCOMPLETE;
    r->at += 2;
  }
  r->out->value = (nx_slice){r->bytes + start, r->at - start};
  return NX_LOGFILES_COMPLETE;
}

static nx_logfiles_parsed read_field(reader *r, field what) {
  switch (what) {
    case CHANNEL: return read_array(r, &r->out->channel);
    case KEY: return read_array(r, &r->out->key);
    case HIGH: return read_array(r, &r->out->high);
    case VALUE: return read_array(r, &r->out->value);
    case MODE: return read_mode(r);
    case NODES: return read_nodes(r);
    case END: break;
  }
  return NX_LOGFILES_COMPLETE;
}

nx_logfiles_parsed nx_logfiles_parse(const uint8_t *bytes, uint64_t length, uint64_t array_bytes_max,
                                     nx_logfiles_request *out) {
  *out = (nx_logfiles_request){0};
  if (length < 4) return NX_LOGFILES_INCOMPLETE;
  out->code = nx_load32(bytes);
  out->length = 4;
  const field *fields = fields_of(out->code);
  if (fields == NULL) return NX_LOGFILES_UNKNOWN;
  reader r = {bytes, length, 4, array_bytes_max, out};
  nx_logfiles_parsed parsed = NX_LOGFILES_COMPLETE;
  for (; parsed == NX_LOGFILES_COMPLETE && *fields != END; fields++) parsed = read_field(&r, *fields);
  out->length = r.at;
  return parsed;
}

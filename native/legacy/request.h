/*
 * Reads one request at a time from a byte stream: i32 code, then what the code's shape says, letter by letter.
 *
 *   c  the channel      k  the key      d  data (a filter, a batch, a record)
 *   v  the value of a Put, which has a limit of its own
 *   l  list of channels, ended by an empty array
 *   r  u64 min, u64 max, then the nodes of a Redistribute: { address, u16 port, u64 min, u64 max }…, empty address
 *
 * All but r are arrays: u64 length, then that many bytes. Integers are little-endian. Each kind of node has its own
 * table of shapes (code → shape, NULL: no such command). Nothing is copied, nothing read past `length`; a
 * strict prefix of a request is always "incomplete".
 */
#ifndef NX_LEGACY_REQUEST_H
#define NX_LEGACY_REQUEST_H
#include <stdbool.h>
#include "store.h"

enum {
  NX_LEGACY_PUT = 1,
  NX_LEGACY_GET = 7,
  NX_LEGACY_EXISTS = 11,
  NX_LEGACY_REMOVE = 12,
  NX_LEGACY_GET_CHANNELS = 17,
  NX_LEGACY_GET_CHANNEL_SIZE = 18,
  NX_LEGACY_GET_SIZE = 19,
  NX_LEGACY_GET_RESPONSIBLE_RANGE = 20,
  NX_LEGACY_REMOVE_CHANNEL = 22,
  NX_LEGACY_GET_NUM_CONNECTIONS = 23,
  NX_LEGACY_GET_VERSION = 24,
  NX_LEGACY_LISTEN = 25,
  NX_LEGACY_GET_ALL = 29,
  NX_LEGACY_GET_ALL_KEYS = 30,
  NX_LEGACY_GET_ALL_FILTER = 31,
  NX_LEGACY_REDISTRIBUTE_REQUEST = 33,
  NX_LEGACY_PUT_BATCH = 34,
};

#define NX_LEGACY_CODES 40u /* codes are below it */

typedef struct {
  uint32_t code;
  nx_slice channel;
  nx_slice key;
  nx_slice value;   /* or filter, or batch */
  uint64_t min, max;
  nx_slice nodes;   /* of Redistribute, or a list of channels; with the empty array that ends them */
  uint64_t length;  /* bytes of the request that were understood */
  uint64_t skip;    /* bytes of an array that is too long, which follow */
} nx_legacy_request;

typedef enum {
  NX_LEGACY_INCOMPLETE,
  NX_LEGACY_COMPLETE,
  NX_LEGACY_UNKNOWN,      /* no such command */
  NX_LEGACY_OVERSIZED,    /* an array is longer than any may be */
  NX_LEGACY_VALUE_TOO_BIG /* the value of a Put; only that much is wrong */
} nx_legacy_parsed;

nx_legacy_parsed nx_legacy_parse(const char *const *shapes, const uint8_t *bytes, uint64_t length, uint64_t array_bytes_max,
                                 uint64_t value_bytes_max, nx_legacy_request *out);

#endif

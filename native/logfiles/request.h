/*
 * Reads one request of a logfiles client at a time from a byte stream. All integers are little-endian.
 *
 *   i32 code, then by code:
 *    3 Put                 channel, key, value
 *   17 GetChannels         nothing            19 GetSize, 20 GetResponsibleRange, 23 GetNumConnections,
 *                                                    24 GetVersion: the same
 *   18 GetChannelSize      channel            22 RemoveChannel, 29 GetAll, 30 GetAllKeys: the same
 *   28 GetRange            channel, low key, high key
 *   31 GetAllFilter        channel, filter
 *   32 GetRangeFilter      channel, low key, high key, filter
 *   34 GetRangeRegex       channel, low key, high key, u8 mode, pattern
 *   35 Redistribute        f32 fraction, { address, u16 port }…, empty address
 *   36 PutBatch            channel, batch
 *
 * Where nothing else is said a field is an array: u64 length, then that many bytes. Nothing is copied, nothing
 * read past `length`; a strict prefix of a request is always "incomplete".
 */
#ifndef NX_LOGFILES_REQUEST_H
#define NX_LOGFILES_REQUEST_H
#include <stdbool.h>
#include "store.h"

enum {
  NX_LOGFILES_PUT = 3,
  NX_LOGFILES_GET_CHANNELS = 17,
  NX_LOGFILES_GET_CHANNEL_SIZE = 18,
  NX_LOGFILES_GET_SIZE = 19,
  NX_LOGFILES_GET_RESPONSIBLE_RANGE = 20,
  NX_LOGFILES_REMOVE_CHANNEL = 22,
  NX_LOGFILES_GET_NUM_CONNECTIONS = 23,
  NX_LOGFILES_GET_VERSION = 24,
  NX_LOGFILES_GET_RANGE = 28,
  NX_LOGFILES_GET_ALL = 29,
  NX_LOGFILES_GET_ALL_KEYS = 30,
  NX_LOGFILES_GET_ALL_FILTER = 31,
  NX_LOGFILES_GET_RANGE_FILTER = 32,
  NX_LOGFILES_GET_RANGE_REGEX = 34,
  NX_LOGFILES_REDISTRIBUTE = 35,
  NX_LOGFILES_PUT_BATCH = 36,
};

typedef struct {
  uint32_t code;
  uint32_t mode;
  nx_slice channel;
  nx_slice key, high; /* `key` is the low one where there are two */
  nx_slice value;     /* or filter, pattern, batch */
  uint64_t length;    /* bytes of the request that were understood */
  uint64_t skip;      /* bytes of an array that is too long, which follow */
} nx_logfiles_request;

typedef enum {
  NX_LOGFILES_INCOMPLETE,
  NX_LOGFILES_COMPLETE,
  NX_LOGFILES_UNKNOWN,  /* no such command */
  NX_LOGFILES_OVERSIZED /* an array is longer than any may be */
} nx_logfiles_parsed;

nx_logfiles_parsed nx_logfiles_parse(const uint8_t *bytes, uint64_t length, uint64_t array_bytes_max,
                                     nx_logfiles_request *out);

#endif

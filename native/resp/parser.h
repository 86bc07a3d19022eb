/*
 * Reads one request at a time from a byte stream: RESP arrays of bulk strings, or an inline line of words.
 *
 * The reader keeps its place: handed the same bytes again with more behind them, it goes on where it stopped,
 * so input that arrives in pieces costs time linear in its length. It never copies argument bytes (inline
 * words that carry quotes excepted) and never reads past `length`. A strict prefix of a valid request is
 * always "incomplete".
 */
#ifndef NX_RESP_PARSER_H
#define NX_RESP_PARSER_H
#include <stdbool.h>
#include <stdint.h>
#include "buffer.h"
#include "store.h"

typedef struct {
  uint64_t arguments_max;
  uint64_t bulk_bytes_max;
  uint64_t line_bytes_max; /* an inline request, or the line that carries a count or a length */
  bool authenticated;      /* before that, Redis' small limits hold: 10 arguments of 16 KiB */
} nx_request_limits;

typedef enum {
  NX_REQUEST_INCOMPLETE,
  NX_REQUEST_COMPLETE,
  NX_REQUEST_BAD
} nx_request_status;

typedef struct {
  const uint8_t *base; /* where the request begins */
  uint64_t position;   /* first byte not yet understood, relative to base */
  uint64_t scanned;    /* bytes from position on that hold no line end */
  int64_t missing;     /* arguments still to come; -1: the count is not known yet */
  int64_t bulk_length; /* of the argument at position; -1: not known yet */
  nx_slice *arguments;
  uint32_t count;
  uint32_t capacity;
  nx_buffer unescaped; /* words of an inline request after their quotes are gone */
  char error[64];      /* set with NX_REQUEST_BAD: Redis' text after "Protocol error: " */
} nx_request;

/* Forgets the previous request; keeps the memory. A zeroed nx_request is valid input. */
void nx_request_begin(nx_request *request);
/* `bytes` starts at the request's first byte. After NX_REQUEST_COMPLETE `arguments[0..count)` point into
 * `bytes` and `position` is the request's length; count 0 is an empty request, which has no reply. */
nx_request_status nx_request_parse(nx_request *request, const uint8_t *bytes, uint64_t length,
                                   const nx_request_limits *limits);
/* Gives back memory beyond what small requests need. */
void nx_request_trim(nx_request *request);
void nx_request_free(nx_request *request);

#endif

/*
 * Looks at the requests that are next in a chunk and has their records fetched into the cache.
 *
 * A pipelined request costs two cache misses (bucket, record), about as much as everything else C does for it. Asking for
 * the memory of sixteen requests at once overlaps those misses. Only a hint: the first argument is taken for the
 * key whatever the command is, nothing is validated for good, and nothing depends on the outcome.
 */
#ifndef NX_RESP_PREFETCH_H
#define NX_RESP_PREFETCH_H
#include "engine.h"

/* Returns how many of the next requests are covered, at least 1. */
uint32_t nx_prefetch_requests(nx_resp *engine, nx_resp_connection *connection, const uint8_t *bytes, uint64_t length);

#endif

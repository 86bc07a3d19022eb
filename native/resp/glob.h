/*
 * Glob patterns of KEYS, SCAN and CONFIG GET: `*`, `?`, `[a-z]`, `[^a]`, backslash escapes, with Redis'
 * reading of malformed classes. Time is bounded by pattern length times text length: only the last `*` is
 * ever tried again.
 */
#ifndef NX_RESP_GLOB_H
#define NX_RESP_GLOB_H
#include <stdbool.h>
#include "store.h"

bool nx_glob_matches(nx_slice pattern, nx_slice text);

#endif

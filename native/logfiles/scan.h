/*
 * One step of a scan: hands the wanted records of a page to an output, in order, up to a bucket.
 *
 * Pages of several sources are merged by whoever calls: it always steps the source whose next bucket is the lowest,
 * and only up to the next bucket of the others.
 */
#ifndef NX_LOGFILES_SCAN_H
#define NX_LOGFILES_SCAN_H
#include "match.h"
#include "output.h"

/* What a step ended with. */
enum {
  NX_SCAN_END = 0,  /* the page has no further record */
  NX_SCAN_NEXT = 1, /* the next record is of a bucket beyond */
  NX_SCAN_FULL = 2, /* the output should leave first */
  NX_SCAN_LIMIT = 3 /* the expression took too many steps */
};

uint32_t nx_scan_step(nx_page *page, uint64_t low, uint64_t high, uint64_t bucket_max, nx_matcher *matcher,
                      nx_output *output);

#endif

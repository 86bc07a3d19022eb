/* See scan.h. */
#include "scan.h"

/* The first record from `index` on whose bucket is not below `bucket`. */
static uint64_t skip_to_bucket(const nx_page *page, uint64_t index, uint64_t bucket) {
  uint64_t end = page->count;
  while (index < end) {
    uint64_t middle = index + (end - index) / 2;
    if (page->keys[middle] >> NX_BUCKET_SHIFT < bucket) index = middle + 1;
    else end = middle;
  }
  return index;
}

uint32_t nx_scan_step(nx_page *page, uint64_t low, uint64_t high, uint64_t bucket_max, nx_matcher *matcher,
                      nx_output *output) {
  page->at = skip_to_bucket(page, page->at, low >> NX_BUCKET_SHIFT);
  uint64_t last = high >> NX_BUCKET_SHIFT;
  while (page->at < page->count) {
    uint64_t bucket = page->keys[page->at] >> NX_BUCKET_SHIFT;
    if (bucket > last) break;
    if (bucket > bucket_max) return NX_SCAN_NEXT;
    if (nx_output_is_full(output)) return NX_SCAN_FULL;
    uint64_t wanted = nx_matcher_next(matcher, page, page->at);
    if (wanted == NX_MATCH_LIMIT) return NX_SCAN_LIMIT;
    if (wanted > page->at) {
      page->at = wanted;
      continue;
    }
    uint64_t key = page->keys[wanted], start = nx_page_value_start(page, wanted);
    if (key >= low && key <= high)
      nx_output_add(output, key, page->values + start, page->ends[wanted] - start);
    page->at += 1;
  }
  page->at = page->count;
  return NX_SCAN_END;
}

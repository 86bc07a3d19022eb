/*
 * What a million records of 16-byte keys and 64-byte values cost. Run without a sanitizer: it also compares
 * the store's own account with what the kernel says. Prints the figures as TAP comments.
 */
#include <stdint.h>
#include <unistd.h>

#include "../store.h"
#include "tap.h"

#define RECORDS 1000000u
#define OVERHEAD_MAX 60.0

static uint64_t resident_bytes(void) {
  FILE *file = fopen("/proc/self/statm", "r");
  unsigned long pages = 0;
  if (file == NULL || fscanf(file, "%*u %lu", &pages) != 1) abort();
  fclose(file);
  return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void fill(const char *format, int64_t expires_at_ms, const char *what) {
  uint64_t before = resident_bytes();
  nx_store *store = nx_store_new_seeded(0, 1, 2);
  nx_channel *channel = nx_store_channel(store, (nx_slice){(const uint8_t *)"0", 1}, true);
  uint8_t key[17], value[64] = {0};
  double worst = 0;
  nx_store_stats stats;
  for (uint32_t i = 0; i < RECORDS; i++) {
    snprintf((char *)key, sizeof key, format, i);
    CHECK(nx_channel_put(channel, (nx_slice){key, 16}, (nx_slice){value, 64},
                         expires_at_ms == 0 ? 0 : expires_at_ms + i) == 0);
    if (i < 100000 || i % 1000 != 0) continue;
    nx_store_stats_read(store, &stats);
    double each = (double)(stats.memory_bytes - stats.key_bytes - stats.value_bytes) / (double)stats.records;
    if (each > worst) worst = each;
  }
  nx_store_stats_read(store, &stats);
  double payload = (double)(stats.key_bytes + stats.value_bytes);
  double each = ((double)stats.memory_bytes - payload) / RECORDS;
  double resident = ((double)(resident_bytes() - before) - payload) / RECORDS;
  printf("# %s: overhead %.1f bytes a record at the end, %.1f at worst, %.1f by resident memory\n", what,
         each, worst, resident);
  CHECK(stats.records == RECORDS && stats.key_bytes == 16u * RECORDS && stats.value_bytes == 64u * RECORDS);
  CHECK(worst <= OVERHEAD_MAX && resident <= OVERHEAD_MAX);
  nx_store_free(store);
}

static void swarm_keys(void) { fill("%016x", 0, "keys of 16 hex digits"); }
static void text_keys(void) { fill("key:%012u", 0, "text keys"); }
static void expiring(void) { fill("key:%012u", 1000, "text keys that expire"); }

int main(void) {
  TEST("a swarm record costs at most 60 bytes beyond key and value", swarm_keys);
  TEST("a record with a text key costs at most 60 bytes beyond key and value", text_keys);
  TEST("an expiring record costs at most 60 bytes beyond key and value", expiring);
  TAP_END();
}

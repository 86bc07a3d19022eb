/* What every fuzz target of neo asks of what an engine sends: whole messages, each with its parity and an id. */
#ifndef NX_FUZZ_NEO_MESSAGES_H
#define NX_FUZZ_NEO_MESSAGES_H

static void check_messages(nx_slice messages) {
  const uint8_t *bytes = messages.data;
  uint64_t length = messages.length;
  for (uint64_t at = 0; at < length;) {
    NX_ASSERT(length - at >= 18);
    uint8_t parity = 0;
    for (uint32_t i = 0; i < 10; i++) parity ^= bytes[at + i];
    uint64_t body = nx_load64(bytes + at + 1);
    NX_ASSERT(bytes[at] == 1 && parity == 0 && body >= 9 && body <= length - at - 10);
    NX_ASSERT(nx_load64(bytes + at + 10) != 0);
    at += 10 + body;
  }
}

#endif

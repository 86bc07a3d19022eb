/* See glob.h. */
#include "glob.h"

#include <stddef.h>

/* A class that starts after its `[` at `*at`. Leaves `*at` behind the class (an unclosed one ends with the
 * pattern). */
static bool class_matches(const uint8_t **at, const uint8_t *end, uint8_t byte) {
  const uint8_t *p = *at;
  bool negated = p < end && *p == '^';
  if (negated) p++;
  bool matched = false;
  while (p < end && *p != ']') {
    if (*p == '\\' && end - p >= 2) {
      p++;
      matched |= *p == byte;
    } else if (end - p >= 3 && p[1] == '-') {
      uint8_t low = p[0] < p[2] ? p[0] : p[2];
      uint8_t high = p[0] < p[2] ? p[2] : p[0];
      matched |= byte >= low && byte <= high;
      p += 2;
    } else {
      matched |= *p == byte;
    }
    p++;
  }
  *at = p < end ? p + 1 : p;
  return matched != negated;
}

/* One pattern element other than `*` against one byte; moves `*at` behind the element. */
static bool element_matches(const uint8_t **at, const uint8_t *end, uint8_t byte) {
  const uint8_t *p = (*at)++;
  if (*p == '?') return true;
  if (*p == '[') return class_matches(at, end, byte);
  if (*p == '\\' && end - p >= 2) {
    p++;
    (*at)++;
  }
  return *p == byte;
}

bool nx_glob_matches(nx_slice pattern, nx_slice text) {
  /* Redis never looks at a pattern when the text is empty, except for the pattern that is one star. */
  if (text.length == 0) return pattern.length == 0 || (pattern.length == 1 && pattern.data[0] == '*');
  const uint8_t *at = pattern.data;
  const uint8_t *end = pattern.data + pattern.length;
  uint64_t index = 0;
  /* Where to go on when an element fails: behind the last `*`, which then swallows one byte more. */
  const uint8_t *after_star = NULL;
  uint64_t star_index = 0;
  while (index < text.length) {
    if (at < end && *at == '*') {
      after_star = ++at;
      star_index = index;
      continue;
    }
    if (at < end && element_matches(&at, end, text.data[index])) {
      index++;
      continue;
    }
    if (after_star == NULL) return false;
    at = after_star;
    index = ++star_index;
  }
  while (at < end && *at == '*') at++;
  return at == end;
}

/*
 * Finds bytes that every match of an expression must hold, from its text alone.
 *
 * Invariant: in doubt there is none. Alternatives, options and verbs can make any part optional or change what a
 * byte means, so an expression with `|`, `(?` or `(*` has no literal here; groups and classes are stepped over.
 */
#include <string.h>

#include "match.h"

typedef struct {
  const uint8_t *at, *end;
  uint8_t *run; /* the run being read */
  uint64_t run_length;
  uint8_t *best;
  uint64_t best_length;
} finder;

static bool is_letter_or_digit(uint8_t c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static void end_run(finder *f) {
  if (f->run_length > f->best_length) {
    memmove(f->best, f->run, f->run_length);
    f->best_length = f->run_length;
  }
  f->run_length = 0;
}

/* Steps behind the class that begins at `at`; false when it does not end. */
static bool skip_class(finder *f) {
  f->at += 1;
  if (f->at < f->end && *f->at == '^') f->at += 1;
  if (f->at < f->end && *f->at == ']') f->at += 1;
  for (; f->at < f->end; f->at++) {
    if (*f->at == '\\') f->at += 1;
    else if (*f->at == '[' && f->end - f->at > 1 && f->at[1] == ':') return false;
    else if (*f->at == ']') {
      f->at += 1;
      return true;
    }
  }
  return false;
}

/* Steps behind the group that begins at `at`. */
static bool skip_group(finder *f) {
  for (uint32_t depth = 0; f->at < f->end;) {
    switch (*f->at) {
      case '\\': f->at += f->end - f->at > 1 ? 2 : 1; break;
      case '[':
        if (!skip_class(f)) return false;
        break;
      case '(':
        depth += 1;
        f->at += 1;
        break;
      case ')':
        f->at += 1;
        if (--depth == 0) return true;
        break;
      default: f->at += 1;
    }
  }
  return false;
}

/* An escape: a literal byte of punctuation, else something that stands for other bytes or for none. */
static bool read_escape(finder *f) {
  if (f->end - f->at < 2) return false;
  uint8_t c = f->at[1];
  if (c >= 0x80 || c == 'Q' || c == 'E') return false;
  /* These take what follows them: \x41, \g{1}, \p{L}, \cA, \k<n>, \o{7}, \N{…}; digits may be several. */
  if (strchr("xgpPckoNu", c) != NULL || (c >= '0' && c <= '9')) return false;
  f->at += 2;
  if (is_letter_or_digit(c)) end_run(f);
  else f->run[f->run_length++] = c;
  return true;
}

static bool find(finder *f) {
  while (f->at < f->end) {
    uint8_t c = *f->at;
    if (c == '\\') {
      if (!read_escape(f)) return false;
    } else if (c == '(') {
      end_run(f);
      if (!skip_group(f)) return false;
    } else if (c == '[') {
      end_run(f);
      if (!skip_class(f)) return false;
    } else if (c == '?' || c == '*' || c == '{') {
      /* What the last byte of the run is repeated by: it may be missing. */
      if (f->run_length > 0) f->run_length -= 1;
      end_run(f);
      if (c == '{')
        while (f->at < f->end && *f->at != '}') f->at += 1;
      if (f->at < f->end) f->at += 1;
    } else if (c == '.' || c == '^' || c == '$' || c == '+') {
      end_run(f);
      f->at += 1;
    } else {
      f->run[f->run_length++] = c;
      f->at += 1;
    }
  }
  end_run(f);
  return true;
}

static bool is_plain(const uint8_t *pattern, uint64_t length) {
  return memchr(pattern, '|', length) == NULL && memmem(pattern, length, "(?", 2) == NULL &&
         memmem(pattern, length, "(*", 2) == NULL && memchr(pattern, 0, length) == NULL;
}

uint64_t nx_required_literal(const uint8_t *pattern, uint64_t length, uint8_t *out) {
  uint8_t run[256];
  if (length == 0 || length > sizeof run || !is_plain(pattern, length)) return 0;
  finder f = {pattern, pattern + length, run, 0, out, 0};
  return find(&f) ? f.best_length : 0;
}

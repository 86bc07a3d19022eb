/**
 * Counts words: each line is cut into words, and for every word goes out how often it was seen so far.
 *
 * Source "Lines" (text lines), sink "counts" (frames of `word: count`).
 */
import { app, framed, lines } from "node-x/stream";

export default app("word-count", (a) => {
  a.source("Lines", { framing: lines(), decode: (frame) => frame.text(0) })
    .flatMap<string>((line, out) => {
      for (const [word] of line.toLowerCase().matchAll(/[a-z0-9]+(?:['-][a-z0-9]+)*/g)) out.emit(word);
    })
    .keyBy((word) => word)
    .state<{ count: number }, string>("counts", { init: () => ({ count: 0 }) }, (word, state, out) => {
      state.count += 1;
      out.emit(`${word}: ${state.count}`);
    })
    .to(a.sink<string>("counts", { framing: framed(), encode: (text, out) => out.utf8(text) }));
});

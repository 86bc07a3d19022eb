/** Values as JSON: the codec of whoever names none. */
import type * as contract from "./contract.ts";
import type { Codec, Frame, Writer } from "./contract.ts";

export const json: typeof contract.json = <T>(): Codec<T> => ({
  encode(value: T, out: Writer) {
    out.utf8(JSON.stringify(value));
  },
  decode: (frame: Frame) => JSON.parse(frame.text(0)) as T,
});

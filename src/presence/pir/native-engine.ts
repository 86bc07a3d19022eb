/** The PIR engine in C, on the kernel that suits this CPU best or on a given one. */
import { decode, multiplyInto, share, type Gf8Kernel } from "../../native/gf8.ts";
import type { PirEngine } from "./engine.ts";

export function nativeEngine(kernel: Gf8Kernel = "auto"): PirEngine {
  const product = (isBits: boolean): PirEngine["answer"] => {
    return (table, rows, rowBytes, queries, count) => {
      const out = new Uint8Array(count * rowBytes);
      multiplyInto(out, { table, rows, rowBytes, queries, count, isBits, kernel });
      return out;
    };
  };
  return { answer: product(false), answerXor: product(true), share, decode };
}

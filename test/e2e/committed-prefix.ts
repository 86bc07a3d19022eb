/**
 * Looks at what a two-phase sink has committed, again and again while a stream runs: of each key, byte for byte a beginning
 * of what one thread would have written.
 *
 * Invariant: what was compared once is not read again, so a look costs what came since the last one. A key must stay with
 * its worker meanwhile.
 */
import { closeSync, openSync, readdirSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import { parseTransactionLog, stateAfter } from "../../src/streams/receiver/transaction-log.ts";
import { detectorOutput } from "../../src/streams/validate/oracle.ts";
import { parseWindow } from "../../src/streams/validate/window-text.ts";
import { FrameReader } from "../../src/streams/wire/frame.ts";

const SUFFIX = ".txnlog";

export class CommittedPrefix {
  readonly #directory: string;
  readonly #expected = new Map<string, Generator<string>>();
  readonly #compared = new Map<string, number>();
  /** Records of all keys so far. */
  records = 0;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Throws with the first record that should not be there. */
  look(): void {
    for (const log of readdirSync(this.#directory)) {
      if (!log.endsWith(SUFFIX)) continue;
      const { entries } = parseTransactionLog(readFileSync(join(this.#directory, log), "utf8"));
      this.#compare(log.slice(0, -SUFFIX.length), stateAfter(entries).committedBytes);
    }
  }

  #compare(file: string, committedBytes: number): void {
    const from = this.#compared.get(file) ?? 0;
    if (committedBytes < from)
      throw new Error(`${file}: ${from} bytes were committed, now ${committedBytes}`);
    const bytes = new Uint8Array(committedBytes - from);
    const descriptor = openSync(join(this.#directory, file), "r");
    const read = readSync(descriptor, bytes, 0, bytes.byteLength, from);
    closeSync(descriptor);
    if (read < bytes.byteLength) throw new Error(`${file} ends before its committed byte ${committedBytes}`);
    const frames = new FrameReader();
    frames.feed(bytes, (chunk, start, end) => {
      const body = Buffer.from(chunk.subarray(start, end)).toString();
      const { key } = parseWindow(body);
      let expected = this.#expected.get(key);
      if (expected === undefined)
        this.#expected.set(key, (expected = detectorOutput(key, Number.POSITIVE_INFINITY)));
      const wanted = expected.next().value as string;
      if (body !== wanted)
        throw new Error(`${file} from byte ${from}: ${body} stands where ${wanted} should`);
      this.records += 1;
    });
    if (frames.waitingBytes > 0) throw new Error(`${file}: its committed part ends within a record`);
    this.#compared.set(file, committedBytes);
  }
}

/**
 * Writes into etcd which format a store is of, and refuses one of another format.
 *
 * Invariant: nothing else is asked of etcd before that is known, so a store of a later format is neither read nor changed.
 */
import { RefusedError } from "../../failures.ts";
import { base64, bytesOf, type Layout } from "./bytes.ts";
import type { Etcd, WatchOptions } from "./gateway.ts";
import { isMissing, type Methods, rangeOf } from "./messages.ts";
import { rangesOf } from "./reads.ts";

/** Of what is drawn in bytes.ts. */
const FORMAT = "1";

export class FormatGuard implements Etcd {
  readonly #etcd: Etcd;
  readonly #key: string;
  #checked: Promise<void> | undefined;

  constructor(etcd: Etcd, layout: Layout) {
    this.#etcd = etcd;
    this.#key = layout.format;
  }

  async call<Path extends keyof Methods>(
    path: Path,
    request: Methods[Path][0],
    kind: "read" | "write",
  ): Promise<Methods[Path][1]> {
    await this.#isOurs();
    return this.#etcd.call(path, request, kind);
  }

  async watch(options: WatchOptions): Promise<void> {
    await this.#isOurs();
    return this.#etcd.watch(options);
  }

  #isOurs(): Promise<void> {
    if (this.#checked !== undefined) return this.#checked;
    const checked = this.#check();
    // What failed is asked again.
    checked.catch(() => (this.#checked = undefined));
    this.#checked = checked;
    return checked;
  }

  async #check(): Promise<void> {
    const key = this.#key;
    const request = {
      compare: [isMissing(key)],
      success: [{ request_put: { key, value: base64(FORMAT) } }],
      failure: [rangeOf(key)],
    };
    // Whoever writes it, writes the same: it does no harm if it was done.
    const answer = await this.#etcd.call("/kv/txn", request, "read");
    if (answer.succeeded === true) return;
    const found = new TextDecoder().decode(bytesOf(rangesOf(answer)[0]?.kvs?.[0]?.value));
    if (found === FORMAT) return;
    throw new RefusedError(
      `the store under this prefix is of format "${found.slice(0, 20)}", this node-x knows format ${FORMAT}: ` +
        "upgrade it, or give engine.etcd.prefix a place of its own",
    );
  }
}

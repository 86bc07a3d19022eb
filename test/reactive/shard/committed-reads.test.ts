/** Read committed of a shard: what is under way is neither seen nor waited for, and nothing is seen that later changes below. */
import { expect, setDefaultTimeout, test } from "bun:test";
import type { Command } from "../../../src/reactive/replication/types.ts";
import {
  decodeVote,
  encodeCommand,
  type ShardCommand,
  type Vote,
} from "../../../src/reactive/shard/commands.ts";
import { decodeValue, encodeOperations } from "../../../src/reactive/shard/operations.ts";
import { decodeReadReply, encodeQuery, type ShardQuery } from "../../../src/reactive/shard/query-messages.ts";
import { ShardService } from "../../../src/reactive/shard/service.ts";
import { Level, type Transaction } from "../../../src/reactive/shard/transaction.ts";
import { whole } from "../whole.ts";

setDefaultTimeout(60_000);

const VIEW = 0;
const list = Buffer.from("list");

/** A shard that is told one command after the other; every one is an append to `list`. */
class Scene implements Disposable {
  readonly #shard = new ShardService();
  #op = 0;

  /** What stays with a command from when it is ordered until it is applied. */
  readonly #ordered = new Map<ShardCommand, Command>();

  /** The primary's answer before the command is ordered, if it is not. */
  admit(command: ShardCommand): Uint8Array | undefined {
    return this.#shard.admit(this.#of(command), VIEW);
  }

  #of(command: ShardCommand): Command {
    const known = this.#ordered.get(command);
    const ordered = known ?? { session: 1, number: this.#ordered.size + 1, body: encodeCommand(command) };
    this.#ordered.set(command, ordered);
    return ordered;
  }

  apply(command: ShardCommand): Uint8Array {
    const commands = [this.#of(command)];
    this.#op += 1;
    return whole(this.#shard.apply({ op: this.#op, timeMs: this.#op, commands }))[0] as Uint8Array;
  }

  run(command: ShardCommand): Vote {
    return decodeVote(this.admit(command) ?? this.apply(command));
  }

  query(query: ShardQuery) {
    return this.#shard.query(encodeQuery(query), VIEW);
  }

  /** What is read committed, which is answered at once. */
  committed(): string {
    const reply = this.query({ kind: "committed", keys: [list] });
    if (!(reply instanceof Uint8Array)) throw new Error("it waits");
    const [version] = decodeReadReply(reply).versions;
    const value = decodeValue(version?.type ?? 0, version?.value ?? new Uint8Array(0));
    return value.type === "list" ? value.elements.map((element) => Buffer.from(element)).join(" ") : "";
  }

  [Symbol.dispose](): void {
    this.#shard.close();
  }
}

const idOf = (element: string) => ({ client: 1, number: element.charCodeAt(0) });

const appendOf = (element: string): Transaction => ({
  id: idOf(element),
  floor: 1,
  level: Level.readCommitted,
  snapshot: 0,
  home: 0,
  participants: [0],
  accesses: [
    {
      key: list,
      reads: [],
      operations: encodeOperations([{ kind: "append", element: Buffer.from(element) }]),
    },
  ],
});

const atOnce = (element: string, timestamp: number): ShardCommand => {
  return { kind: "atOnce", timestamp, view: VIEW, transaction: appendOf(element) };
};

test("what is prepared is neither seen nor waited for, though a read at a timestamp waits for it", async () => {
  using scene = new Scene();
  scene.run(atOnce("a", 5));
  scene.run({ kind: "prepare", transaction: appendOf("b") });
  expect(scene.committed()).toBe("a");
  const now = scene.query({ kind: "read", timestamp: 9, known: 0, keys: [list] });
  expect(now).toBeInstanceOf(Promise);
  scene.apply({ kind: "decide", id: idOf("b"), timestamp: 9 });
  expect(scene.committed()).toBe("a b");
  await now;
});

test("what may still get a smaller timestamp hides what came later: an append never turns up in front of what was seen", () => {
  using scene = new Scene();
  scene.run(atOnce("a", 5));
  scene.run({ kind: "prepare", transaction: appendOf("b") });
  const c = atOnce("c", 11);
  expect(scene.admit(c)).toBeUndefined();
  scene.run(atOnce("d", 12));
  expect(scene.committed()).toBe("a");
  scene.apply({ kind: "decide", id: idOf("b"), timestamp: 10 });
  expect(scene.committed()).toBe("a b");
  scene.apply(c);
  expect(scene.committed()).toBe("a b c d");
});

test("what was seen is not written below any more", () => {
  using scene = new Scene();
  scene.run(atOnce("b", 12));
  expect(scene.committed()).toBe("b");
  // It was overtaken on its way here, which nobody could have known when the key was read.
  expect(scene.run(atOnce("a", 11))).toEqual({ kind: "late" });
  expect(scene.run(atOnce("c", 13))).toMatchObject({ kind: "decided" });
  expect(scene.committed()).toBe("b c");
});

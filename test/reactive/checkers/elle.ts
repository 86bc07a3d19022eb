/**
 * Finds isolation anomalies in histories of transactions that append unique values to lists and read them, in the manner
 * of Elle (Kingsbury and Alvaro, 2020): because values are unique, reads show in which order a list was written, and from
 * that follow the dependencies between transactions. A cycle of dependencies is an anomaly; which edges it has says
 * which one.
 *
 *   ww  T2 appended right behind T1's value           G0          a cycle of ww
 *   wr  T2 read a list that ends with T1's value      G1c         a cycle of ww and wr
 *   rw  T1 read a list to which T2 appended next      G-single    with exactly one rw
 *   rt  T1 had returned before T2 began               G2-item     with several rw
 *
 * Beside cycles: G1a (a value of an aborted transaction was read), G1b (a list that ends between two appends of one
 * transaction), lost values, values that nobody wrote, reads that do not fit one order, and a transaction that does not
 * see its own writes ("internal"). With `isStrict`, rt edges count: cycles with one are named `…-realtime`.
 */

export type TransactionStep =
  | { append: number; key: string }
  /** What was read; undefined when the transaction did not end well. */
  | { read: readonly number[] | undefined; key: string };

export interface Transaction {
  name: string;
  steps: readonly TransactionStep[];
  /** `unknown`: the client never heard. */
  outcome: "committed" | "aborted" | "unknown";
  invokedAt: number;
  /** Infinity when unknown. */
  returnedAt: number;
  /** It asked for an older moment: real time does not order it. */
  isPast?: boolean;
}

export interface Anomaly {
  kind: string;
  text: string;
}

type EdgeKind = "ww" | "wr" | "rw" | "rt";

interface Graph {
  /** For each transaction (by index) whom it must stand before, and why. */
  edges: Map<number, Map<number, Set<EdgeKind>>>;
}

export function checkTransactions(history: readonly Transaction[], { isStrict = false } = {}): Anomaly[] {
  const anomalies: Anomaly[] = [];
  const say = (kind: string, text: string) => anomalies.push({ kind, text });
  const writers = writersOf(history);
  const orders = ordersOf(history, say);
  for (const transaction of history) checkInternal(transaction, say);
  checkReads(history, writers, orders, say);
  const graph = graphOf(history, writers, orders, isStrict);
  anomalies.push(...cycles(history, graph, isStrict));
  return anomalies;
}

type Say = (kind: string, text: string) => void;
/** Of each key the value's transaction, by index. */
type Writers = Map<string, Map<number, number>>;

function writersOf(history: readonly Transaction[]): Writers {
  const writers: Writers = new Map();
  for (const [index, { steps }] of history.entries()) {
    for (const step of steps) {
      if (!("append" in step)) continue;
      const ofKey = writers.get(step.key) ?? new Map<number, number>();
      writers.set(step.key, ofKey.set(step.append, index));
    }
  }
  return writers;
}

/** The order of each list: its longest read. All others must be beginnings of it. */
function ordersOf(history: readonly Transaction[], say: Say): Map<string, readonly number[]> {
  const orders = new Map<string, readonly number[]>();
  const reads = committedReads(history);
  for (const { key, list } of reads) {
    if (list.length > (orders.get(key)?.length ?? 0)) orders.set(key, list);
  }
  for (const { key, list, name } of reads) {
    const order = orders.get(key) ?? [];
    if (!list.every((value, at) => value === order[at])) {
      say("incompatible order", `${name} read ${key} as ${list.join()}, another read ${order.join()}`);
    }
  }
  return orders;
}

/** Lists as the rest of the world had left them: without what the reader itself had appended before. */
function committedReads(history: readonly Transaction[]) {
  return history.flatMap(({ name, steps, outcome }, index) => {
    if (outcome !== "committed") return [];
    const own = new Map<string, Set<number>>();
    return steps.flatMap((step) => {
      if ("append" in step) {
        own.set(step.key, (own.get(step.key) ?? new Set()).add(step.append));
        return [];
      }
      const mine = own.get(step.key);
      const list = (step.read ?? []).filter((value) => mine?.has(value) !== true);
      return [{ index, name, key: step.key, list }];
    });
  });
}

function checkInternal({ name, steps, outcome }: Transaction, say: Say): void {
  if (outcome !== "committed") return;
  const seen = new Map<string, { base: readonly number[] | undefined; own: number[] }>();
  for (const step of steps) {
    const known = seen.get(step.key) ?? { base: undefined, own: [] };
    seen.set(step.key, known);
    if ("append" in step) {
      known.own.push(step.append);
      continue;
    }
    const read = step.read ?? [];
    const tail = known.own.length === 0 ? [] : read.slice(-known.own.length);
    const base = read.slice(0, read.length - known.own.length);
    if (tail.join() !== known.own.join())
      say("internal", `${name} does not see its own appends to ${step.key}`);
    else if (known.base !== undefined && base.join() !== known.base.join()) {
      say("internal", `${name} read ${step.key} as ${known.base.join()}, then as ${base.join()}`);
    }
    known.base = base;
  }
}

function checkReads(
  history: readonly Transaction[],
  writers: Writers,
  orders: Map<string, readonly number[]>,
  say: Say,
): void {
  for (const { key, list, name, index } of committedReads(history)) {
    for (const value of list) {
      const writer = writers.get(key)?.get(value);
      if (writer === undefined) say("garbage", `${name} read ${value} in ${key}, which nobody wrote`);
      else if (history[writer]?.outcome === "aborted") {
        say("G1a", `${name} read ${value} in ${key} of ${history[writer].name}, which was aborted`);
      }
    }
    const last = list.at(-1);
    const writer = last === undefined ? undefined : writers.get(key)?.get(last);
    if (writer === undefined || writer === index) continue;
    const appended = (history[writer]?.steps ?? []).flatMap((step) =>
      "append" in step && step.key === key ? [step.append] : [],
    );
    if (appended.at(-1) !== last) say("G1b", `${name} read ${key} in the midst of ${history[writer]?.name}`);
  }
  // A committed value must be in every list that was read after its transaction had returned.
  for (const { name, steps, outcome, returnedAt } of history) {
    if (outcome !== "committed") continue;
    for (const step of steps) {
      if (!("append" in step) || orders.get(step.key)?.includes(step.append) === true) continue;
      const witness = history.find(
        (other) =>
          other.outcome === "committed" &&
          other.isPast !== true &&
          other.invokedAt > returnedAt &&
          other.steps.some((each) => "read" in each && each.key === step.key),
      );
      if (witness !== undefined)
        say("lost update", `${step.append} of ${name} is not in ${step.key} at ${witness.name}`);
    }
  }
  for (const [key, order] of orders) {
    if (new Set(order).size !== order.length) say("duplicate", `${key} holds a value twice: ${order.join()}`);
  }
}

function graphOf(
  history: readonly Transaction[],
  writers: Writers,
  orders: Map<string, readonly number[]>,
  isStrict: boolean,
): Graph {
  const edges: Graph["edges"] = new Map();
  const add = (from: number | undefined, to: number | undefined, kind: EdgeKind) => {
    if (from === undefined || to === undefined || from === to) return;
    const targets = edges.get(from) ?? new Map<number, Set<EdgeKind>>();
    edges.set(from, targets.set(to, (targets.get(to) ?? new Set()).add(kind)));
  };
  for (const [key, order] of orders) {
    const writerOf = (at: number) => writers.get(key)?.get(order[at] as number);
    for (let at = 1; at < order.length; at++) add(writerOf(at - 1), writerOf(at), "ww");
  }
  for (const { key, list, index } of committedReads(history)) {
    const order = orders.get(key) ?? [];
    if (list.length > 0) add(writers.get(key)?.get(list.at(-1) as number), index, "wr");
    // The next value that is not the reader's own.
    const next = order.slice(list.length).find((value) => writers.get(key)?.get(value) !== index);
    if (next !== undefined) add(index, writers.get(key)?.get(next), "rw");
  }
  if (isStrict) addRealTime(history, add);
  return { edges };
}

/** Only to the transactions that began next: the others follow from those. */
function addRealTime(
  history: readonly Transaction[],
  add: (from: number, to: number, kind: EdgeKind) => void,
): void {
  const committed = history.flatMap((each, index) =>
    each.outcome === "committed" && each.isPast !== true ? [{ ...each, index }] : [],
  );
  const byBegin = committed.toSorted((a, b) => a.invokedAt - b.invokedAt);
  for (const before of committed) {
    let horizon = Infinity;
    for (const after of byBegin) {
      if (after.invokedAt <= before.returnedAt) continue;
      if (after.invokedAt > horizon) break;
      add(before.index, after.index, "rt");
      horizon = Math.min(horizon, after.returnedAt);
    }
  }
}

/** The anomaly of each strongly connected part: the kind of its worst short cycle. */
function cycles(history: readonly Transaction[], { edges }: Graph, isStrict: boolean): Anomaly[] {
  const levels: { kind: string; allowed: EdgeKind[]; rwMax: number }[] = [
    { kind: "G0", allowed: ["ww"], rwMax: 0 },
    { kind: "G1c", allowed: ["ww", "wr"], rwMax: 0 },
    { kind: "G-single", allowed: ["ww", "wr", "rw"], rwMax: 1 },
    { kind: "G2-item", allowed: ["ww", "wr", "rw"], rwMax: Infinity },
    ...(isStrict
      ? [
          { kind: "G1c-realtime", allowed: ["ww", "wr", "rt"] as EdgeKind[], rwMax: 0 },
          { kind: "G-single-realtime", allowed: ["ww", "wr", "rw", "rt"] as EdgeKind[], rwMax: 1 },
          { kind: "G2-item-realtime", allowed: ["ww", "wr", "rw", "rt"] as EdgeKind[], rwMax: Infinity },
        ]
      : []),
  ];
  const found: Anomaly[] = [];
  const told = new Set<number>();
  const suspects = onCycles(edges);
  for (const { kind, allowed, rwMax } of levels) {
    for (const start of suspects) {
      if (told.has(start)) continue;
      const cycle = cycleThrough(start, edges, allowed, rwMax);
      if (cycle === undefined) continue;
      for (const index of cycle) told.add(index);
      found.push({ kind, text: cycle.map((index) => history[index]?.name).join(" → ") });
    }
  }
  return found;
}

/** Those from which a cycle of any edges can be reached: the others are peeled off, last ones first. */
function onCycles(edges: Graph["edges"]): number[] {
  const left = new Map([...edges].map(([from, targets]) => [from, new Set(targets.keys())]));
  const incoming = new Map<number, number[]>();
  for (const [from, targets] of left)
    for (const to of targets) incoming.set(to, [...(incoming.get(to) ?? []), from]);
  for (const targets of left.values()) for (const to of targets) if (!left.has(to)) targets.delete(to);
  const ends = [...left.keys()].filter((index) => left.get(index)?.size === 0);
  for (const end of ends) {
    left.delete(end);
    for (const from of incoming.get(end) ?? []) {
      const targets = left.get(from);
      if (targets?.delete(end) === true && targets.size === 0) ends.push(from);
    }
  }
  return [...left.keys()];
}

/** A shortest cycle through `start` with these edges and at most `rwMax` times rw. */
function cycleThrough(
  start: number,
  edges: Graph["edges"],
  allowed: readonly EdgeKind[],
  rwMax: number,
): number[] | undefined {
  const counted = Math.min(rwMax, 2);
  interface Path {
    at: number;
    rw: number;
    from: Path | undefined;
  }
  const queue: Path[] = [{ at: start, rw: 0, from: undefined }];
  const seen = new Set<string>();
  for (const path of queue) {
    for (const [to, kinds] of edges.get(path.at) ?? []) {
      const usable = allowed.filter((kind) => kinds.has(kind));
      if (usable.length === 0) continue;
      const rw = path.rw + (usable.every((kind) => kind === "rw") ? 1 : 0);
      if (rw > rwMax) continue;
      if (to === start) return trail(path);
      const key = `${to}:${Math.min(rw, counted)}`;
      if (seen.has(key)) continue;
      seen.add(key);
      queue.push({ at: to, rw, from: path });
    }
  }
  return undefined;

  function trail(path: Path | undefined): number[] {
    return path === undefined ? [] : [...trail(path.from), path.at];
  }
}

/**
 * The interleavings of Hermitage (Martin Kleppmann's test suite of isolation levels), and what each level has to make of them.
 *
 * `x` is 10 and `y` is 20 at first, `z` does not exist. A script returns what was seen; `expected` says for each level what that
 * has to be: also that a level is not stricter than it says where that would cost (snapshot isolation shows write skew, read
 * committed shows lost updates).
 */
import type { Outcome, Typed } from "./typed.ts";

export interface Keys {
  x: string;
  y: string;
  z: string;
}

export type Seen = Record<string, number | Outcome | number[]>;

export interface Interleaving {
  name: string;
  /** `begin` starts a transaction; `final` reads keys when all is over. */
  script(begin: () => Typed, keys: Keys, final: (...keys: string[]) => Promise<number[]>): Promise<Seen>;
  expected: Record<"strict" | "snapshot" | "readCommitted", (seen: Seen) => boolean>;
}

const is =
  (wanted: Seen) =>
  (seen: Seen): boolean =>
    Object.entries(wanted).every(([name, value]) => String(seen[name]) === String(value));
const always = (check: (seen: Seen) => boolean) => ({ strict: check, snapshot: check, readCommitted: check });

/** Of two transactions one at least does not commit. */
const oneRefused = ({ first, second }: Seen) => first === "refused" || second === "refused";
const bothCommitted = is({ first: "committed", second: "committed" });

export const interleavings: readonly Interleaving[] = [
  {
    name: "G0: writes of two transactions are not mixed",
    async script(begin, { x, y }, final) {
      const [one, two] = [begin(), begin()];
      await one.write(x, 11);
      await two.write(x, 12);
      await one.write(y, 21);
      const first = await one.commit();
      await two.write(y, 22);
      return { first, second: await two.commit(), final: await final(x, y) };
    },
    expected: always(({ final }) => ["11,21", "12,22"].includes(String(final))),
  },
  {
    name: "G1a: what is aborted is never read",
    async script(begin, { x }) {
      const [one, two] = [begin(), begin()];
      await one.write(x, 101);
      const before = await two.read(x);
      await one.abort();
      return { before, after: await two.read(x), second: await two.commit() };
    },
    expected: always(is({ before: 10, after: 10, second: "committed" })),
  },
  {
    name: "G1b: what is not the last write of a transaction is never read",
    async script(begin, { x }) {
      const [one, two] = [begin(), begin()];
      await one.write(x, 101);
      const before = await two.read(x);
      await one.write(x, 11);
      const first = await one.commit();
      return { first, before, after: await two.read(x), second: await two.commit() };
    },
    expected: {
      ...always(({ first, before, after }) => first === "committed" && before === 10 && after !== 101),
      // What it read is old when it commits.
      strict: is({ first: "committed", before: 10, after: 10, second: "refused" }),
    },
  },
  {
    name: "G1c: two transactions do not see each other's writes",
    async script(begin, { x, y }) {
      const [one, two] = [begin(), begin()];
      await one.write(x, 11);
      await two.write(y, 22);
      const [ofOne, ofTwo] = [await one.read(y), await two.read(x)];
      return { ofOne, ofTwo, first: await one.commit(), second: await two.commit() };
    },
    expected: {
      ...always((seen) => is({ ofOne: 20, ofTwo: 10 })(seen) && bothCommitted(seen)),
      strict: (seen) => is({ ofOne: 20, ofTwo: 10 })(seen) && oneRefused(seen),
    },
  },
  {
    name: "OTV: a transaction that was seen does not vanish",
    async script(begin, { x, y }) {
      const [one, two, three] = [begin(), begin(), begin()];
      await one.write(x, 11);
      await one.write(y, 19);
      await two.write(x, 12);
      await one.commit();
      const firstX = await three.read(x);
      await two.write(y, 18);
      const firstY = await three.read(y);
      await two.commit();
      return { firstX, firstY, lastY: await three.read(y), lastX: await three.read(x) };
    },
    expected: always(is({ firstX: 11, firstY: 19, lastX: 11, lastY: 19 })),
  },
  {
    name: "PMP: a key that was absent stays absent, or who saw that cannot commit",
    async script(begin, { x, z }) {
      const [one, two] = [begin(), begin()];
      const before = await one.read(z);
      await two.write(z, 30);
      await two.commit();
      const after = await one.read(z);
      await one.write(x, 11);
      return { before, after, first: await one.commit() };
    },
    expected: {
      strict: is({ before: 0, after: 0, first: "refused" }),
      snapshot: is({ before: 0, after: 0, first: "committed" }),
      readCommitted: is({ before: 0, first: "committed" }),
    },
  },
  {
    name: "P4: an update is not lost",
    async script(begin, { x }, final) {
      const [one, two] = [begin(), begin()];
      await one.read(x);
      await two.read(x);
      await one.write(x, 11);
      await two.write(x, 12);
      return { first: await one.commit(), second: await two.commit(), final: await final(x) };
    },
    expected: {
      strict: is({ first: "committed", second: "refused", final: 11 }),
      snapshot: is({ first: "committed", second: "refused", final: 11 }),
      readCommitted: is({ first: "committed", second: "committed", final: 12 }),
    },
  },
  {
    name: "G-single: what is read is of one moment",
    async script(begin, { x, y }) {
      const [one, two] = [begin(), begin()];
      const ofX = await one.read(x);
      await two.read(x);
      await two.read(y);
      await two.write(x, 12);
      await two.write(y, 18);
      const second = await two.commit();
      return { ofX, ofY: await one.read(y), second, first: await one.commit() };
    },
    expected: {
      strict: is({ ofX: 10, ofY: 20, second: "committed", first: "refused" }),
      snapshot: is({ ofX: 10, ofY: 20, second: "committed", first: "committed" }),
      readCommitted: is({ ofX: 10, second: "committed", first: "committed" }),
    },
  },
  {
    name: "G2-item: write skew",
    async script(begin, { x, y }) {
      const [one, two] = [begin(), begin()];
      for (const each of [one, two]) for (const key of [x, y]) await each.read(key);
      await one.write(x, 11);
      await two.write(y, 21);
      return { first: await one.commit(), second: await two.commit() };
    },
    expected: { strict: oneRefused, snapshot: bothCommitted, readCommitted: bothCommitted },
  },
  {
    name: "read-only anomaly: a reader's state lies on the way to the end",
    async script(begin, { x, y }) {
      const [one, two, three] = [begin(), begin(), begin()];
      await two.read(x);
      await two.read(y);
      await one.read(y);
      await one.write(y, 40);
      const first = await one.commit();
      const seen = [await three.read(x), await three.read(y)];
      await two.write(x, -1);
      return { first, seen, second: await two.commit() };
    },
    expected: {
      strict: is({ first: "committed", seen: [10, 40], second: "refused" }),
      snapshot: is({ first: "committed", seen: [10, 40], second: "committed" }),
      readCommitted: is({ first: "committed", second: "committed" }),
    },
  },
];

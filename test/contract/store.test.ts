import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { StoreModel } from "../../src/channels/store-model.ts";
import { MalformedEffects, OutOfMemory, type RecordStore } from "../../src/native/record-store.ts";
import { Store } from "../../src/native/store.ts";
import { dump, programs, runProgram, type StoreFactory } from "./store-contract.ts";

const hashSeed = Uint8Array.from({ length: 16 }, (_, index) => index * 11);
const bytes = (text: string) => new Uint8Array(Buffer.from(text, "latin1"));

const implementations: [string, StoreFactory][] = [
  ["the C store", () => new Store({ seed: hashSeed })],
  ["the model", () => new StoreModel()],
];

describe.each(implementations)("%s", (_name, make) => {
  test("agrees with the model over random programs, replay and export", () => {
    fc.assert(
      fc.property(programs, (program) => runProgram(make, program)),
      { numRuns: 250 },
    );
  }, 120_000);

  function withStore(use: (store: RecordStore) => void): void {
    const store = make();
    try {
      use(store);
    } finally {
      store.close();
    }
  }

  test("a record is there until its time has come, and does not come back when the clock steps back", () => {
    withStore((store) => {
      const channel = store.openChannel("0");
      channel.put(bytes("k"), bytes("v"), 100);
      expect(channel.get(bytes("k"), 99)?.value).toEqual(bytes("v"));
      expect(channel.get(bytes("k"), 100)).toBeUndefined();
      expect(channel.get(bytes("k"), 50)).toBeUndefined();
    });
  });

  test("moving an expiry later keeps the record past its first time", () => {
    withStore((store) => {
      const channel = store.openChannel("0");
      channel.put(bytes("k"), bytes("v"), 100);
      expect(channel.expire(bytes("k"), 300, 0)).toBe(true);
      store.tick(200, 100);
      expect(channel.get(bytes("k"), 200)?.expiresAtMs).toBe(300);
      store.tick(300, 100);
      expect(channel.records).toBe(0);
    });
  });

  test("a patch beyond the end fills the gap with zeros, also where other bytes were before", () => {
    withStore((store) => {
      const channel = store.openChannel("0");
      channel.put(bytes("k"), bytes("abcdefgh"));
      channel.put(bytes("k"), bytes("ab"));
      expect(channel.patch(bytes("k"), 5, bytes("xyz"), 0)).toBe(8);
      expect(channel.get(bytes("k"), 0)?.value).toEqual(bytes("ab\0\0\0xyz"));
    });
  });

  test("refuses bad channel names, keys that are too long and offsets out of range", () => {
    withStore((store) => {
      for (const bad of ["", "a b", "a/b", "ä", "x".repeat(241)])
        expect(() => store.openChannel(bad)).toThrow(RangeError);
      const channel = store.openChannel("x".repeat(240));
      expect(() => channel.put(new Uint8Array(512 * 1024 + 1), bytes("v"))).toThrow(RangeError);
      expect(() => channel.patch(bytes("k"), 1024 ** 3, bytes("v"), 0)).toThrow(RangeError);
      expect(() => channel.patch(bytes("k"), -1, bytes("v"), 0)).toThrow(RangeError);
      expect(channel.records).toBe(0);
    });
  });

  test("replay says where effects are malformed and keeps what came before", () => {
    withStore((store) => {
      store.setLogging(true);
      store.openChannel("0").put(bytes("first"), bytes("1"));
      const first = store.takeEffects();
      store.openChannel("0").put(bytes("second"), bytes("2"));
      const second = store.takeEffects();
      const again = make();
      try {
        const cut = Buffer.concat([first, second.subarray(0, second.byteLength - 1)]);
        let error: unknown;
        try {
          again.replay(cut);
        } catch (thrown) {
          error = thrown;
        }
        expect(error).toBeInstanceOf(MalformedEffects);
        expect((error as MalformedEffects).offset).toBe(first.byteLength);
        expect([...dump(again).keys()]).toEqual(["0/first"]);
      } finally {
        again.close();
      }
    });
  });

  test("logs nothing while logging is off", () => {
    withStore((store) => {
      store.openChannel("0").put(bytes("k"), bytes("v"));
      store.removeChannel("0");
      expect(store.takeEffects().byteLength).toBe(0);
    });
  });
});

describe("the C store", () => {
  test("at its memory limit it refuses and stays exactly as it was", () => {
    const store = new Store({ seed: hashSeed, memoryBytesMax: 1024 * 1024 });
    try {
      const channel = store.openChannel("0");
      const refused = (act: () => unknown) => {
        try {
          act();
          return false;
        } catch (error) {
          if (!(error instanceof OutOfMemory)) throw error;
          return true;
        }
      };
      let count = 0;
      while (!refused(() => channel.put(bytes(`key ${count}`), new Uint8Array(100), count % 2 ? 5000 : 0)))
        count += 1;
      expect(count).toBeGreaterThan(5000);
      store.setLogging(true);
      const [before, statsBefore] = [dump(store), store.stats()];
      expect(statsBefore.memoryBytes).toBeLessThanOrEqual(1024 * 1024);
      let refusals = 0;
      for (const size of [100, 300, 700, 5000, 100_000, 2_000_000]) {
        refusals += Number(refused(() => channel.put(bytes("another key"), new Uint8Array(size))));
        refusals += Number(refused(() => channel.put(bytes("key 7"), new Uint8Array(size + 300))));
        refusals += Number(refused(() => channel.patch(bytes("key 8"), size + 300, bytes("x"), 0)));
        refusals += Number(refused(() => channel.patch(bytes("absent"), size, bytes("x"), 0)));
      }
      expect(refusals).toBe(24);
      expect(dump(store)).toEqual(before);
      expect(store.stats()).toEqual(statsBefore);
      expect(store.takeEffects().byteLength).toBe(0);
      expect(channel.remove(bytes("key 7"), 0)).toBe(true);
      channel.put(bytes("key 7"), new Uint8Array(100), 5000);
    } finally {
      store.close();
    }
  });

  test("effects taken by swap stay readable while the store goes on", () => {
    const store = new Store({ seed: hashSeed });
    try {
      store.setLogging(true);
      const channel = store.openChannel("0");
      channel.put(bytes("k"), bytes("v"));
      const taken = store.swapEffects().view();
      const copy = taken.slice();
      for (let index = 0; index < 5000; index++) channel.put(bytes(`${index}`), bytes("other"));
      expect(taken).toEqual(copy);
      expect(store.swapEffects().length).toBeGreaterThan(5000 * 12);
    } finally {
      store.close();
    }
  });

  test("an export of thousands of records while the table grows and shrinks misses nothing", () => {
    const store = new Store({ seed: hashSeed });
    const rebuilt = new Store({ seed: hashSeed });
    try {
      const channel = store.openChannel("0");
      for (let index = 0; index < 20_000; index++) channel.put(bytes(`${index}`), bytes(`value ${index}`));
      store.setLogging(true);
      let step = 0;
      for (const slice of store.exportSlices(20_000)) {
        rebuilt.replay(slice);
        for (let index = 0; index < 900; index++, step++) {
          if (step < 18_000) channel.remove(bytes(`${step}`), 0);
          else channel.put(bytes(`${step + 10_000}`), bytes("late"));
        }
      }
      rebuilt.replay(store.takeEffects());
      expect(dump(rebuilt)).toEqual(dump(store));
    } finally {
      store.close();
      rebuilt.close();
    }
  });
});

import { expect, test } from "bun:test";
import { Bus, type BusOptions } from "../../../src/core/sim/bus.ts";
import { Scheduler } from "../../../src/core/sim/scheduler.ts";

interface Numbered {
  number: number;
}

/**
 * Sends `count` messages from a to b, one each millisecond, and returns the numbers in the order of arrival.
 */
function exchange(seed: number, options: BusOptions, count = 200) {
  const scheduler = new Scheduler(seed);
  const bus = new Bus<Numbered>(scheduler, options);
  const arrived: number[] = [];
  bus.attach("a", () => undefined);
  bus.attach("b", (from, { number }) => {
    expect(from).toBe("a");
    arrived.push(number);
  });
  scheduler.run(
    () =>
      new Promise<void>((resolve) => {
        for (let number = 0; number < count; number++) {
          scheduler.after(number, () => bus.send("a", "b", { number }));
        }
        scheduler.after(count + 10_000, resolve);
      }),
  );
  return { arrived, faults: bus.faults };
}

test("without faults everything arrives once", () => {
  const { arrived } = exchange(1, {});
  expect(arrived.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, index) => index));
});

test("loses, repeats, reorders and clogs at the given rates, the same for the same seed", () => {
  const options = { loss: 0.2, duplication: 0.2, clog: 0.05, delayMeanMs: 5 };
  const { arrived, faults } = exchange(2, options);
  faults.requireAll(["message lost", "message repeated", "message overtook another", "link clogged"]);
  const distinct = new Set(arrived).size;
  expect(distinct).toBeGreaterThan(130);
  expect(distinct).toBeLessThan(185);
  expect(arrived.length).toBeGreaterThan(distinct);
  expect(exchange(2, options).arrived).toEqual(arrived);
  expect(exchange(3, options).arrived).not.toEqual(arrived);
});

test("a full link displaces messages", () => {
  const { arrived, faults } = exchange(4, { linkCapacity: 5, delayMinMs: 100 });
  expect(faults.of("message displaced")).toBe(200 - arrived.length);
  expect(arrived.length).toBeLessThan(30);
});

test("nodes share no memory through a message", () => {
  const scheduler = new Scheduler(1);
  const bus = new Bus<Numbered>(scheduler);
  const sent = { number: 1 };
  let seen = 0;
  bus.attach("b", (_, message) => {
    seen = message.number;
  });
  bus.send("a", "b", sent);
  sent.number = 2;
  scheduler.run(() => new Promise<void>((resolve) => scheduler.after(100, resolve)));
  expect(seen).toBe(1);
});

/** Who can reach whom after `cut` was applied to five nodes: `from>to`. */
function reachable(
  seed: number,
  cut: (bus: Bus<string>) => void,
): { pairs: Set<string>; bus: Bus<string>; send: () => void } {
  const scheduler = new Scheduler(seed);
  const bus = new Bus<string>(scheduler);
  const nodes = ["n1", "n2", "n3", "n4", "n5"];
  const pairs = new Set<string>();
  for (const node of nodes) bus.attach(node, (from) => pairs.add(`${from}>${node}`));
  const send = () => {
    pairs.clear();
    for (const from of nodes) for (const to of nodes) if (from !== to) bus.send(from, to, "hello");
    scheduler.run(() => new Promise<void>((resolve) => scheduler.after(1000, resolve)));
  };
  cut(bus);
  send();
  return { pairs, bus, send };
}

test("a symmetric partition silences both directions, an asymmetric one leaves one side hearing", () => {
  const side: string[] = [];
  const both = reachable(1, (bus) => void side.push(...bus.partition({ mode: "size", isSymmetric: true })));
  const across = (pair: string) => side.includes(pair.slice(0, 2)) !== side.includes(pair.slice(3));
  expect([...both.pairs].filter(across)).toEqual([]);
  expect(both.pairs.size).toBe(side.length * (side.length - 1) + (5 - side.length) * (4 - side.length));
  const oneWay = reachable(2, (bus) => void bus.partition({ mode: "single", isSymmetric: false }));
  expect(oneWay.pairs.size).toBe(20 - 4);
});

test("after healing everyone reaches everyone", () => {
  const { pairs, bus, send } = reachable(
    3,
    (cut) => void cut.partition({ mode: "single", isSymmetric: true }),
  );
  expect(pairs.size).toBe(12);
  bus.heal();
  send();
  expect(pairs.size).toBe(20);
});

test("a message to a node that died is lost; a restarted node receives again", () => {
  const { pairs, bus, send } = reachable(4, (cut) => cut.detach("n5"));
  expect(pairs.size).toBe(16);
  let received = 0;
  bus.attach("n5", () => received++);
  send();
  expect(received).toBe(4);
});

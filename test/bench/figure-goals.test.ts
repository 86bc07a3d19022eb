/** S24: the goals of figures 7 to 10 are held by figures like the paper's, and each is missed by figures that miss it. */
import { expect, test } from "bun:test";
import { type Figures, judgeFigures } from "./figure-goals.ts";

const rate = (perSecond: number, abortRate = 0) => ({ perSecond, abortRate });
/** As in the paper, but for the failover: there it took a view-change timer of five seconds. */
const good: Figures = {
  levels: {
    RC: rate(30_500),
    "SI+DOCC": rate(15_800),
    SI: rate(13_700),
    "SS+DOCC": rate(15_800),
    SS: rate(11_500),
  },
  posting: { on: rate(2500, 0.1), off: rate(100, 0.5) },
  rounds: { pushed: 270, notified: 980, polled: 370 },
  pushedReads: 0,
  failover: [
    { x: 1, y: 200 },
    { x: 2, y: 1800 },
    { x: 3, y: 210 },
  ],
};

const missed = (figures: Partial<Figures>) =>
  judgeFigures({ ...good, ...figures })
    .filter(({ isHeld }) => !isHeld)
    .map(({ goal }) => goal.split(" ").slice(0, 3).join(" "));

test("S24: figures like the paper's hold every goal", () => {
  expect(missed({})).toEqual([]);
});

test.each<[string, Partial<Figures>, string]>([
  ["read committed that is no faster", { levels: { ...good.levels, RC: rate(20_000) } }, "RC / SS"],
  [
    "commuting operations that gain nothing",
    { levels: { ...good.levels, SS: rate(15_800) } },
    "SS with DOCC",
  ],
  ["as many aborts with them", { posting: { on: rate(100, 0.5), off: rate(100, 0.5) } }, "aborts of posting"],
  ["a push that is no faster", { rounds: { ...good.rounds, pushed: 500 } }, "a pushed round"],
  ["a push that reads", { pushedReads: 1 }, "a pushed round"],
  ["a failover of three seconds", { failover: [{ x: 1, y: 3000 }] }, "the round with"],
  ["a game that did not go on", { failover: [] }, "the round with"],
])("control for S24: %s is found out", (_what, figures, goal) => {
  expect(missed(figures)).toEqual([goal]);
});

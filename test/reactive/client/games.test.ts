/**
 * The judge of the games of S1 and S4 (test/e2e/many-games.ts), over a model of a frontend: what it accepts. What turns it red stands
 * in mutants.test.ts: a game that is played by other rules, a store that takes what it should refuse.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { manyGames } from "../../e2e/many-games.ts";
import { ModelCluster } from "./model-frontend.ts";

setDefaultTimeout(120_000);

test("S1, S4: games whose players often try to move out of turn, look away and join late keep every rule", async () => {
  const cluster = new ModelCluster();
  const clients = await Promise.all(
    ["one:1", "two:2"].map((frontend) => cluster.client({ frontends: [frontend] })),
  );
  try {
    expect(await manyGames(clients, 4, { outOfTurn: 0.5, leaves: 0.2, displayMs: 1000 })).toEqual([]);
  } finally {
    await Promise.all(clients.map((client) => client.close()));
  }
});

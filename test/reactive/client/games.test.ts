/**
 * The judge of the games of S1 and S4 (test/e2e/many-games.ts), over a model of a frontend: what it accepts. What turns it red stands
 * in mutants.test.ts: a game that is played by other rules, a store that takes what it should refuse.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { manyGames } from "../../e2e/many-games.ts";
import { gameOf, join, leave, move, readState } from "../../../src/reactive/samples/game/game.ts";
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

test("who leaves a game, or is taken out, takes no turn along: it stays whose it was, or goes to the next one", async () => {
  const client = await new ModelCluster().client();
  try {
    const game = gameOf("left");
    for (const player of ["Ada", "Bob", "Cy"]) await join(client, game, player);
    const next = async () => (await client.readOnly((transaction) => readState(transaction, game))).next;
    await move(client, game, "Ada", 1);
    await leave(client, game, "Ada");
    expect(await next()).toBe("Bob");
    await leave(client, game, "Bob");
    expect(await next()).toBe("Cy");
    await leave(client, game, "nobody");
    await leave(client, game, "Cy");
    expect(await next()).toBeUndefined();
    await join(client, game, "Ada");
    expect(await next()).toBe("Ada");
  } finally {
    await client.close();
  }
});

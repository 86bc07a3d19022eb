/**
 * S1 and S4: games of two players, each on a frontend of his own, with the client library and the game of the samples. Players
 * move at random when their display says that it is their turn, and sometimes when it is not.
 *
 * Checked: the score is the sum of the acknowledged moves, moves alternate, nobody moves behind 100, and every player's last
 * display is the final state.
 */
import { type Client, connect } from "../../src/reactive/client.ts";
import {
  GOAL,
  type GameState,
  gameOf,
  join,
  move,
  POINTS_MAX,
  readState,
} from "../../src/reactive/samples/game/game.ts";
import { until } from "./executable.ts";

class Player {
  readonly name: string;
  readonly client: Client;
  readonly moves: { points: number; player: string; at: number }[];
  display: GameState | undefined;
  #onDisplay = () => {};

  constructor(name: string, client: Client, moves: Player["moves"]) {
    this.name = name;
    this.client = client;
    this.moves = moves;
  }

  /** Plays until the display shows a winner. */
  async play(gameName: string): Promise<void> {
    const game = gameOf(gameName);
    const handle = this.client.executeReactive(async (transaction) => {
      this.display = await readState(transaction, game);
      this.#onDisplay();
    });
    try {
      await join(this.client, game, this.name);
      while (this.display?.winner === undefined) {
        // Now and then out of turn, which is refused.
        if (this.display?.next === this.name || Math.random() < 0.02) {
          const points = 1 + Math.floor(Math.random() * POINTS_MAX);
          const result = await move(this.client, game, this.name, points);
          if (result === "moved") this.moves.push({ points, player: this.name, at: performance.now() });
        }
        const changed = new Promise<void>((resolve) => (this.#onDisplay = resolve));
        await Promise.race([changed, Bun.sleep(20)]);
      }
    } finally {
      await handle.stop();
    }
  }
}

/** Plays so many games at once; returns what was wrong. */
export async function manyGames(frontends: readonly string[], games: number): Promise<string[]> {
  const clients = await Promise.all(frontends.map((frontend) => connect({ frontends: [frontend] })));
  try {
    const faults = Array.from({ length: games }, (_, index) => oneGame(clients, `g${index}.`));
    return (await Promise.all(faults)).flat();
  } finally {
    await Promise.all(clients.map((client) => client.close()));
  }
}

async function oneGame(clients: readonly Client[], name: string): Promise<string[]> {
  const moves: Player["moves"] = [];
  const players = ["ann", "ben"].map(
    (player, index) => new Player(player, clients[index % clients.length] as Client, moves),
  );
  await Promise.all(players.map((player) => player.play(name)));
  const client = clients[0] as Client;
  const final = await client.readOnly((transaction) => readState(transaction, gameOf(name)));
  const faults: string[] = [];
  const sum = moves.reduce((total, { points }) => total + points, 0);
  if (sum !== final.score) faults.push(`${name} score ${final.score}, acknowledged moves add up to ${sum}`);
  if (final.score < GOAL || final.score - (moves.at(-1)?.points ?? 0) >= GOAL)
    faults.push(`${name} ends at ${final.score}`);
  const late = await move(client, gameOf(name), "ann", 1);
  if (late !== "over") faults.push(`${name} goes on behind ${final.score}: ${late}`);
  // The other one may have begun alone: from the second player on, moves alternate.
  const both = moves.findIndex(({ player }) => player !== moves[0]?.player);
  const alternating = moves.slice(Math.max(0, both));
  if (alternating.some(({ player }, index) => player === alternating[index - 1]?.player))
    faults.push(`${name} somebody moved twice: ${moves.map(({ player }) => player).join()}`);
  await until(
    "every display to be final",
    () =>
      players.every(({ display }) => display?.winner === final.winner && display?.score === final.score) ||
      undefined,
  ).catch(() => faults.push(`${name} a display is not final`));
  return faults;
}

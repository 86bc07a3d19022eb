/**
 * S1 and S4: games of two players, each on a frontend of his own, with the client library and the game of the samples. Players
 * move at random when their display says that it is their turn, and sometimes when it is not.
 *
 * Checked: the score is the sum of the acknowledged moves, moves alternate, nobody moves behind 100, and every player's last
 * display is the final state.
 */
import { type Client, connect, type ReactiveHandle } from "../../src/reactive/client.ts";
import {
  type Game,
  GOAL,
  type GameState,
  gameOf,
  join,
  move,
  type MoveResult,
  POINTS_MAX,
  readState,
} from "../../src/reactive/samples/game/game.ts";

class Player {
  readonly name: string;
  readonly client: Client;
  /** Acknowledged, with their timestamps: answers may overtake each other. */
  readonly moves: { points: number; player: string; at: number }[];
  display: GameState | undefined;
  #onDisplay = () => {};

  constructor(name: string, client: Client, moves: Player["moves"]) {
    this.name = name;
    this.client = client;
    this.moves = moves;
  }

  /** Keeps the display up to date until the handle is stopped. */
  watch(game: Game): ReactiveHandle {
    return this.client.executeReactive(async (transaction) => {
      this.display = await readState(transaction, game);
      this.#onDisplay();
    });
  }

  /** Plays until the display shows a winner, or the store says that the game is over. */
  async play(game: Game, outOfTurn: number): Promise<void> {
    while (this.display?.winner === undefined) {
      // Now and then out of turn, which is refused.
      if (this.display?.next === this.name || Math.random() < outOfTurn)
        if ((await this.#move(game)) === "over") return;
      const changed = new Promise<void>((resolve) => (this.#onDisplay = resolve));
      await Promise.race([changed, Bun.sleep(20)]);
    }
  }

  async #move(game: Game): Promise<MoveResult> {
    const points = 1 + Math.floor(Math.random() * POINTS_MAX);
    let at = 0;
    const execute: Client["execute"] = async (code) => {
      const { result, timestamp } = await this.client.executeTimed(code);
      at = timestamp;
      return result;
    };
    const result = await move({ execute }, game, this.name, points);
    if (result === "moved") this.moves.push({ points, player: this.name, at });
    return result;
  }
}

/**
 * Plays so many games at once; returns what was wrong. `outOfTurn`: how often a player tries to move when it may not be his turn,
 * of the times that he looks. `displayMs`: until every display must show the end.
 */
export async function manyGames(
  clients: readonly Client[],
  games: number,
  options = { outOfTurn: 0.02, displayMs: 10_000 },
): Promise<string[]> {
  const faults = Array.from({ length: games }, (_, index) => oneGame(clients, `g${index}.`, options));
  return (await Promise.all(faults)).flat();
}

/** The same over frontends, with a client for each. */
export async function manyGamesAt(frontends: readonly string[], games: number): Promise<string[]> {
  const clients = await Promise.all(frontends.map((frontend) => connect({ frontends: [frontend] })));
  try {
    return await manyGames(clients, games);
  } finally {
    await Promise.all(clients.map((client) => client.close()));
  }
}

async function oneGame(
  clients: readonly Client[],
  name: string,
  { outOfTurn, displayMs }: { outOfTurn: number; displayMs: number },
): Promise<string[]> {
  const game = gameOf(name);
  const moves: Player["moves"] = [];
  const players = ["ann", "ben"].map(
    (player, index) => new Player(player, clients[index % clients.length] as Client, moves),
  );
  // Who takes part is settled before: who came later would change whose turn it is.
  await Promise.all(players.map((player) => join(player.client, game, player.name)));
  const handles = players.map((player) => player.watch(game));
  await Promise.all(players.map((player) => player.play(game, outOfTurn)));
  const client = clients[0] as Client;
  const final = await client.readOnly((transaction) => readState(transaction, game));
  const faults: string[] = [];
  moves.sort((a, b) => a.at - b.at);
  const sum = moves.reduce((total, { points }) => total + points, 0);
  if (sum !== final.score) faults.push(`${name} score ${final.score}, acknowledged moves add up to ${sum}`);
  if (final.score < GOAL || final.score - (moves.at(-1)?.points ?? 0) >= GOAL)
    faults.push(`${name} ends at ${final.score}`);
  const late = await move(client, game, "ann", 1);
  if (late !== "over") faults.push(`${name} goes on behind ${final.score}: ${late}`);
  if (moves.some(({ player }, index) => player === moves[index - 1]?.player))
    faults.push(`${name} somebody moved twice: ${moves.map(({ player }) => player).join()}`);
  const isFinal = ({ display }: Player) => display?.winner === final.winner && display?.score === final.score;
  const deadlineMs = performance.now() + displayMs;
  while (!players.every(isFinal) && performance.now() < deadlineMs) await Bun.sleep(5);
  if (!players.every(isFinal)) faults.push(`${name} a display is not final`);
  await Promise.all(handles.map((handle) => handle.stop()));
  return faults;
}

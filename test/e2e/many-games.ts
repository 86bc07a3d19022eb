/**
 * S1 and S4: games of two players and more, each on a frontend of his own, with the client library and the game of the samples.
 * Players move at random when their display says that it is their turn, and sometimes when it is not; they look away and come back; in
 * some games a third one joins while the others play.
 *
 * Checked: each acknowledged move was made by the player whose turn it was at that moment, the score is the sum of the moves, nobody
 * moves behind 100, and every player's last display is the final state.
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

/** What was acknowledged, with its place in the order of all transactions: answers may overtake each other. */
type Event = { at: number; player: string } & ({ kind: "joined" } | { kind: "moved"; points: number });

export interface GamesOptions {
  /** How often a player tries to move when it may not be his turn, of the times that he looks. */
  outOfTurn: number;
  /** How often he looks away for a while, of the same. */
  leaves: number;
  /** Until every display must show the end. */
  displayMs: number;
}

class Player {
  readonly name: string;
  readonly client: Client;
  readonly #events: Event[];
  display: GameState | undefined;
  #onDisplay = () => {};
  #handle: ReactiveHandle | undefined;

  constructor(name: string, client: Client, events: Event[]) {
    this.name = name;
    this.client = client;
    this.#events = events;
  }

  async join(game: Game): Promise<void> {
    const at = await this.#timed((client) => join(client, game, this.name));
    this.#events.push({ kind: "joined", at, player: this.name });
  }

  /** Keeps the display up to date until `stop`. */
  watch(game: Game): void {
    this.#handle = this.client.executeReactive(async (transaction) => {
      this.display = await readState(transaction, game);
      this.#onDisplay();
    });
  }

  async stop(): Promise<void> {
    await this.#handle?.stop();
  }

  /** Plays until the display shows a winner, or the store says that the game is over. */
  async play(game: Game, { outOfTurn, leaves }: GamesOptions): Promise<void> {
    while (this.display?.winner === undefined) {
      if (Math.random() < leaves) await this.#leave(game);
      // Now and then out of turn, which is refused.
      if (this.display?.next === this.name || Math.random() < outOfTurn)
        if ((await this.#move(game)) === "over") return;
      const changed = new Promise<void>((resolve) => (this.#onDisplay = resolve));
      await Promise.race([changed, Bun.sleep(20)]);
    }
  }

  async #leave(game: Game): Promise<void> {
    await this.stop();
    this.display = undefined;
    await Bun.sleep(Math.random() * 20);
    this.watch(game);
  }

  async #move(game: Game): Promise<MoveResult> {
    const points = 1 + Math.floor(Math.random() * POINTS_MAX);
    let result: MoveResult | undefined;
    const at = await this.#timed(async (client) => (result = await move(client, game, this.name, points)));
    if (result === "moved") this.#events.push({ kind: "moved", at, player: this.name, points });
    return result as MoveResult;
  }

  /** Runs one transaction; resolves with its timestamp. */
  async #timed(run: (client: Pick<Client, "execute">) => Promise<unknown>): Promise<number> {
    let at = 0;
    await run({
      execute: async (code) => {
        const { result, timestamp } = await this.client.executeTimed(code);
        at = timestamp;
        return result;
      },
    });
    return at;
  }
}

/** Plays so many games at once; returns what was wrong. */
export async function manyGames(
  clients: readonly Client[],
  games: number,
  options: GamesOptions = { outOfTurn: 0.02, leaves: 0.02, displayMs: 10_000 },
): Promise<string[]> {
  const faults = Array.from({ length: games }, (_, index) =>
    oneGame(clients, `g${index}.`, index % 3 === 0 ? ["ann", "ben", "cleo"] : ["ann", "ben"], options),
  );
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
  names: readonly string[],
  options: GamesOptions,
): Promise<string[]> {
  const game = gameOf(name);
  const events: Event[] = [];
  const players = names.map(
    (player, index) => new Player(player, clients[index % clients.length] as Client, events),
  );
  await Promise.all(
    players.map(async (player, index) => {
      // Who is not among the first two comes while they play.
      if (index > 1) await Bun.sleep(Math.random() * 60);
      await player.join(game);
      player.watch(game);
      await player.play(game, options);
    }),
  );
  const client = clients[0] as Client;
  const final = await client.readOnly((transaction) => readState(transaction, game));
  const faults = faultsOf(events, final);
  const late = await move(client, game, "ann", 1);
  if (late !== "over") faults.push(`goes on behind ${final.score}: ${late}`);
  const isFinal = ({ display }: Player) => JSON.stringify(display) === JSON.stringify(final);
  const deadlineMs = performance.now() + options.displayMs;
  while (!players.every(isFinal) && performance.now() < deadlineMs) await Bun.sleep(5);
  if (!players.every(isFinal)) faults.push("a display is not final");
  await Promise.all(players.map((player) => player.stop()));
  return faults.map((fault) => `${name} ${fault}`);
}

/** Plays what was acknowledged again, in its order. */
function faultsOf(events: readonly Event[], final: GameState): string[] {
  const faults: string[] = [];
  const players: string[] = [];
  let [score, turn] = [0, 0];
  let winner: string | undefined;
  for (const event of events.toSorted((a, b) => a.at - b.at)) {
    if (event.kind === "joined") {
      players.push(event.player);
      continue;
    }
    const next = score >= GOAL ? "nobody" : players[turn % players.length];
    if (event.player !== next) faults.push(`${event.player} moves at ${score}, it is the turn of ${next}`);
    score += event.points;
    turn += 1;
    if (score >= GOAL) winner ??= event.player;
  }
  if (score !== final.score) faults.push(`score ${final.score}, acknowledged moves add up to ${score}`);
  if (final.score < GOAL) faults.push(`ends at ${final.score}`);
  if (final.winner !== winner) faults.push(`${winner} has made the last move, ${final.winner} has won`);
  return faults;
}

/**
 * The 100 game: players add 1 to 10 in turn, and who reaches 100 has won.
 *
 * Invariant: the score is the sum of the moves, each made by the player whose turn it was; after 100 nobody moves. Two
 * transactions and one reactive transaction are all that it takes; everything else is what the store promises.
 */
import { type Client, counter, type Fields, list, object, type Reader } from "../../client.ts";

const shape = { players: list, score: counter, turn: counter };
export type Game = Fields<typeof shape>;

export interface GameState {
  players: string[];
  score: number;
  /** Whose turn it is; undefined while nobody plays. */
  next: string | undefined;
  winner: string | undefined;
}

export type MoveResult = "moved" | "not your turn" | "over";

export const GOAL = 100;
export const POINTS_MAX = 10;

export function gameOf(name: string): Game {
  return object(`${name}100game`, shape);
}

export async function readState(transaction: Reader, game: Game): Promise<GameState> {
  const [players, score, turn] = await Promise.all([
    game.players.value(transaction),
    game.score.value(transaction),
    game.turn.value(transaction),
  ]);
  const next = players[Number(turn) % Math.max(players.length, 1)];
  const isOver = score >= GOAL;
  // The winner's own turn does not end.
  return {
    players,
    score: Number(score),
    next: isOver ? undefined : next,
    winner: isOver ? next : undefined,
  };
}

/** Takes part; who does already stays where he is. */
export function join(client: Client, game: Game, player: string): Promise<void> {
  return client.execute(async (transaction) => {
    const players = await game.players.value(transaction);
    if (!players.includes(player)) game.players.append(transaction, player);
  });
}

export function move(
  client: Pick<Client, "execute">,
  game: Game,
  player: string,
  points: number,
): Promise<MoveResult> {
  if (!Number.isInteger(points) || points < 1 || points > POINTS_MAX)
    throw new RangeError(`a move is 1 to ${POINTS_MAX} points`);
  return client.execute(async (transaction) => {
    const state = await readState(transaction, game);
    if (state.winner !== undefined) return "over";
    if (state.next !== player) return "not your turn";
    game.score.add(transaction, points);
    if (state.score + points < GOAL) game.turn.increment(transaction);
    return "moved";
  });
}

/** The same players, from 0. */
export function restart(client: Client, game: Game): Promise<void> {
  return client.execute((transaction) => {
    game.score.set(transaction, 0);
    game.turn.set(transaction, 0);
  });
}

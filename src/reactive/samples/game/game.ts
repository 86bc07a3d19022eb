/**
 * The 100 game: players add 1 to 10 in turn, and who reaches 100 has won.
 *
 * Invariant: the score is the sum of the moves, each made by the player whose turn it was; after 100 nobody moves. Two
 * transactions and one reactive transaction are all that it takes; everything else is what the store promises.
 */
import { type Client, counter, type Fields, list, object, type Reader, text } from "../../client.ts";

/** Whoever joins changes whose turn it is: who has won is kept, so that it stays so. */
const shape = { players: list, score: counter, turn: counter, winner: text };
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
  const [players, score, turn, winner] = await Promise.all([
    game.players.value(transaction),
    game.score.value(transaction),
    game.turn.value(transaction),
    game.winner.value(transaction),
  ]);
  const isOver = score >= GOAL;
  return {
    players,
    score: Number(score),
    next: isOver ? undefined : players[Number(turn) % Math.max(players.length, 1)],
    winner: isOver ? winner : undefined,
  };
}

/** Takes part; who does already stays where he is. */
export function join(client: Pick<Client, "execute">, game: Game, player: string): Promise<void> {
  return client.execute(async (transaction) => {
    const players = await game.players.value(transaction);
    if (!players.includes(player)) game.players.append(transaction, player);
  });
}

/** Takes no part any more, or is taken out by others because it would be his turn for ever. The turn stays whose it was, or goes on. */
export function leave(client: Pick<Client, "execute">, game: Game, player: string): Promise<void> {
  return client.execute(async (transaction) => {
    const { players, next } = await readState(transaction, game);
    const place = players.indexOf(player);
    if (place < 0) return;
    const others = players.toSpliced(place, 1);
    game.players.replace(transaction, others);
    const turn = next === undefined || next === player ? place : others.indexOf(next);
    game.turn.set(transaction, others.length === 0 ? 0 : turn % others.length);
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
    else game.winner.set(transaction, player);
    return "moved";
  });
}

/** The same players, from 0. */
export function restart(client: Client, game: Game): Promise<void> {
  return client.execute((transaction) => {
    game.score.set(transaction, 0);
    game.turn.set(transaction, 0);
    game.winner.delete(transaction);
  });
}

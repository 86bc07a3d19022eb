/**
 * The 100 game between two players, far from their frontend: how long a round of two moves takes.
 *
 * A move is one transaction: it is validated on the version of the turn that the player has seen, adds to the score and names
 * the other player. Before it, a player's reactive code has looked at players, score and turn, and the move itself at turn
 * and score, one after the other, as code does.
 *
 * - pushed: all of that comes with the run, and nothing is asked for.
 * - notified: the run only says that something changed; each look is a read (the original without data push).
 * - polled: there are no runs; turn and score are read together, again and again, until it is the player's turn.
 */
import { NEWEST, NOW } from "../../src/reactive/client-wire/messages.ts";
import { encodeOperations, wholePart } from "../../src/reactive/shard/operations.ts";
import type { Access } from "../../src/reactive/shard/transaction.ts";
import { DelayingProxy } from "../e2e/delaying-proxy.ts";
import { StoreProcesses } from "../e2e/store-processes.ts";
import { bytesOf, PlainClient, type SeenRun, textOf } from "../reactive/plain-client.ts";

export interface GameOptions {
  mode: "pushed" | "notified" | "polled";
  /** There and back. */
  delayMs: number;
  moves: number;
  replicas?: number;
  /** Called behind this move, while the game goes on. */
  disturb?: { atMove: number; how(store: StoreProcesses): Promise<void> };
}

export interface GameFigures {
  roundMs: number;
  reads: number;
  /** When each move was acknowledged, from the first one on, in milliseconds. */
  movedMs: number[];
}

const KEYS = ["game.turn", "game.score"].map(bytesOf) as [Uint8Array, Uint8Array];

/** Moves before it is measured. */
const WARM_UP = 2;

interface Position {
  turn: string;
  version: number;
}

export async function playGame({
  mode,
  delayMs,
  moves,
  replicas = 1,
  disturb,
}: GameOptions): Promise<GameFigures> {
  using proxy = await DelayingProxy.open();
  using store = await StoreProcesses.create({ tss: replicas, shards: 2, replicas, frontends: 1 });
  await store.startAll();
  const port = store.frontendPorts[0] as number;
  using setup = await PlainClient.connect(port);
  await setup.put({ "game.turn": "0" });
  proxy.target = { host: "127.0.0.1", port };
  proxy.delayMs = () => delayMs / 2;
  const players = [await PlainClient.connect(proxy.port), await PlainClient.connect(proxy.port)];
  const { promise: isOver, resolve: end, reject } = Promise.withResolvers<void>();
  let made = 0;
  let startMs = 0;
  const movedMs: number[] = [];
  let reads = 0;

  const move = async (client: PlainClient, player: number, version: number) => {
    const turn: Access = {
      key: KEYS[0],
      reads: [{ part: wholePart, version, wasPresent: true }],
      operations: encodeOperations([
        { kind: "put", value: { type: "bytes", bytes: bytesOf(String(1 - player)) } },
      ]),
    };
    const outcome = await client.commit([["game.score", { kind: "add", amount: 1n }]], { reads: [turn] });
    if (outcome.kind !== "committed") throw new Error(`a move was refused: ${JSON.stringify(outcome)}`);
    made += 1;
    if (made === WARM_UP) startMs = performance.now();
    if (made >= WARM_UP) movedMs.push(performance.now() - startMs);
    if (made === disturb?.atMove) disturb.how(store).catch(reject);
    if (made === moves + WARM_UP) end();
  };

  const look = async (client: PlainClient, keys: readonly Uint8Array[], at: number): Promise<Position> => {
    reads += 1;
    const { versions } = await client.ask({ type: "read", at, keys: [...keys] }, "values");
    const [first] = versions;
    return { turn: textOf(first?.value ?? new Uint8Array(0)), version: first?.start ?? 0 };
  };
  const [turnKey, scoreKey] = KEYS;
  const reactivePlayer = async (client: PlainClient, player: number) => {
    const run = async ({ at, run: { values } }: SeenRun) => {
      const pushed = values.find(({ key }) => textOf(key) === "game.turn");
      if (mode === "notified") {
        for (const key of [scoreKey, bytesOf("game.players")]) await look(client, [key], at);
        const { turn } = await look(client, [turnKey], at);
        if (turn !== String(player) || made >= moves + WARM_UP) return;
        const { version } = await look(client, [turnKey], NEWEST);
        await look(client, [scoreKey], NEWEST);
        await move(client, player, version);
      } else if (pushed !== undefined && textOf(pushed.value) === String(player) && made < moves + WARM_UP)
        await move(client, player, pushed.start);
    };
    client.onRun = (seen) => void run(seen).catch(reject);
    await client.watch(1, ["game.turn", "game.score", "game.players"]);
  };
  const polledPlayer = async (client: PlainClient, player: number) => {
    while (made < moves + WARM_UP) {
      const { turn, version } = await look(client, KEYS, NOW);
      if (turn === String(player) && made < moves + WARM_UP) await move(client, player, version);
    }
  };

  const playing = players.map((client, player) =>
    (mode === "polled" ? polledPlayer : reactivePlayer)(client, player),
  );
  for (const each of playing) each.catch(reject);
  await isOver;
  const roundMs = ((performance.now() - startMs) / moves) * 2;
  for (const client of players) client.terminate();
  await Promise.allSettled(playing);
  return { roundMs, reads, movedMs };
}

/**
 * Attacks a node from a process of its own: `bun hostile-process.ts PORT ADMIN_SOCKET NAME SCALE SECONDS`.
 *
 * NAME is an attack of hostile.ts, begun once a second until the time is over, or "idle": SCALE connections that do
 * nothing, held until standard input ends. Prints one line once it is at work.
 */
import { seededRandom } from "../../src/core/seams/random.ts";
import { RawClient } from "../channels/wire/resp/raw.ts";
import { attacks, type Target } from "./hostile.ts";
import type { NodeStats } from "./node-process.ts";

/** What is measured is what hostile requests do to others, not how much processor time a flood takes from them. */
const PERIOD_MS = 1000;

const [port = "", adminSocket = "", name = "", scale = "1", seconds = "1"] = process.argv.slice(2);

const target: Target = {
  connect: () => RawClient.connect(Number(port)),
  stats: async () => (await (await fetch("http://node/stats", { unix: adminSocket })).json()) as NodeStats,
};

async function idle(): Promise<void> {
  const clients: RawClient[] = [];
  while (clients.length < Number(scale)) {
    const batch = Array.from({ length: Math.min(100, Number(scale) - clients.length) }, () =>
      target.connect(),
    );
    clients.push(...(await Promise.all(batch)));
  }
  console.log("ready");
  for await (const _ of Bun.stdin.stream());
}

async function attack(): Promise<number> {
  const chosen = attacks.find((each) => each.name === name);
  if (chosen === undefined) throw new Error(`no attack is called ${name}`);
  const random = seededRandom(Number(port));
  console.log("ready");
  const start = performance.now();
  let runs = 0;
  for (; performance.now() < start + Number(seconds) * 1000; runs++) {
    await chosen.run(target, random, Number(scale));
    await Bun.sleep(Math.max(0, start + (runs + 1) * PERIOD_MS - performance.now()));
  }
  return runs;
}

if (name === "idle") await idle();
else console.log(`${await attack()} runs`);
process.exit(0);

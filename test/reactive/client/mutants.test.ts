/** Negative controls of the client library: each breaks one line of it, and a test must notice. */
import { testMutants } from "../../mutants.ts";

const directory = "src/reactive/client";
const fileOf = (name: string) => `test/reactive/client/${name}.test.ts`;
const [client, parts, lives] = [fileOf("client"), fileOf("parts"), fileOf("lives")];
const [games, variables, tabs] = [fileOf("games"), fileOf("variables"), fileOf("tabs")];
const game = "src/reactive/samples/game/game.ts";
const randomLives = "every run of random lives";

testMutants(
  [
    {
      breaks: "S3: that an element is inserted where it shall be",
      file: `${directory}/types/list.ts`,
      from: "elements.toSpliced(index, 0, ",
      to: "elements.toSpliced(index + 1, 0, ",
      noticedBy: [variables, "lists"],
    },
    {
      breaks: "that only what the frontend has confirmed counts as unchanged",
      file: `${directory}/watch.ts`,
      from: "for (const key of this.#confirmed) {\n      const version = this.#versions.get(key);\n      if (version === undefined || changed",
      to: "for (const key of this.#versions.keys()) {\n      const version = this.#versions.get(key);\n      if (version === undefined || changed",
      noticedBy: [lives, randomLives],
    },
    {
      breaks: "that a new connection's frontend looks after nothing yet",
      file: `${directory}/watches.ts`,
      from: "watch.lose();",
      to: "",
      noticedBy: [lives, randomLives],
    },
    {
      breaks: "that the read set is registered as of the oldest that is known of it",
      file: `${directory}/watch.ts`,
      from: "oldest = Math.min(oldest, end);",
      to: "oldest = oldest === Number.POSITIVE_INFINITY ? end : Math.max(oldest, end);",
      noticedBy: [lives, randomLives],
    },
    {
      breaks: "that a new key under a listed prefix is news",
      file: `${directory}/watch.ts`,
      from: "if (this.#prefixNews > this.#timestamp) return true;",
      to: "",
      noticedBy: [lives, randomLives],
    },
    {
      breaks: "S11: that a run needs a change in its read set",
      file: `${directory}/watch.ts`,
      from: ' && (wanted.cause !== "changed" || this.#hasNews())',
      to: "",
      noticedBy: [lives, randomLives],
    },
    {
      breaks: "that who has its turn passes the commits that wait",
      file: `${directory}/connection.ts`,
      from: "? commitsInTurn : commits",
      to: "? commits : commits",
      noticedBy: [parts, "are passed by reads"],
    },
    {
      breaks: "that what a frontend would not take waits in the client",
      file: `${directory}/lane.ts`,
      from: "if (this.#free > 0) this.#free -= 1;",
      to: "if (this.#free !== 0.5) this.#free -= 1;",
      noticedBy: [parts, "wait in the client"],
    },
    {
      breaks: "that what is over a limit of the protocol is not sent",
      file: `${directory}/connection.ts`,
      from: "if (excess !== undefined) return",
      to: "if (excess?.code === undefined && excess !== undefined) return",
      noticedBy: [client, "over a limit of the protocol"],
    },
    {
      breaks: "that watches are registered again on the next connection",
      file: `${directory}/watches.ts`,
      from: "      watch.lose();\n      this.#register(watch);",
      to: "      watch.lose();",
      noticedBy: [lives, randomLives],
    },
    {
      breaks: "that reactive code is told when no frontend will have its client any more",
      file: `${directory}/../client.ts`,
      from: "onRefused: (error) => this.#watches.failAll(error),",
      to: "onRefused: () => {},",
      noticedBy: [client, "a token that is revoked"],
    },
    {
      breaks: "S4: that a move is made by whose turn it is",
      file: game,
      from: 'if (state.next !== player) return "not your turn";',
      to: "",
      noticedBy: [games, "S1, S4"],
    },
    {
      breaks: "S1, S4: that nobody moves when the game is over",
      file: game,
      from: 'if (state.winner !== undefined) return "over";',
      to: "",
      noticedBy: [games, "S1, S4"],
    },
    {
      breaks: "S1, S4: that the score is the sum of the moves",
      file: game,
      from: "game.score.add(transaction, points);",
      to: "game.score.set(transaction, BigInt(state.score + (points % 7)));",
      noticedBy: [games, "S1, S4"],
    },
    {
      breaks: "S4: that every display shows the end",
      file: `${directory}/watch.ts`,
      from: "if (this.#isStopped || timestamp <= this.#known) return;",
      to: "if (this.#isStopped || timestamp <= this.#known || timestamp > 12) return;",
      noticedBy: [games, "S1, S4"],
    },
    {
      breaks: "that all reads of a transaction are of one timestamp",
      file: `${directory}/snapshot.ts`,
      from: "    await this.#first;\n    return this.#read(keys, this.#timestamp);",
      to: "    return (await this.#view.readFresh(keys, this.#ask)).versions;",
      noticedBy: [client, "see one snapshot"],
    },
    {
      breaks: "that a commit which may have arrived has an unknown outcome",
      file: `${directory}/transactions.ts`,
      from: "if (isSent && !isRefusal(error))",
      to: "if (false)",
      noticedBy: [client, "a commit that is on its way"],
    },
    {
      breaks: "that an attempt of an earlier life is resolved before the code is run again",
      file: `${directory}/queue.ts`,
      from: "if (attempt !== undefined) {",
      to: "if (attempt === null) {",
      noticedBy: [client, "arrived, but its answer did not"],
    },
    {
      breaks: "that frontends keep the outcome of what an earlier life has sent",
      file: `${directory}/names.ts`,
      from: "return Math.min(oldest, oldestKept());",
      to: "return oldest;",
      noticedBy: [client, "also when others are committed before"],
    },
    {
      breaks: "that an attempt is kept before it is sent",
      file: `${directory}/queue.ts`,
      from: "({ number }, keys) => log.attempt(item.entry, { number, keys }),",
      to: "async () => {},",
      noticedBy: [client, "arrived, but its answer did not"],
    },
    {
      breaks: "that a version in the cache ends",
      file: `${directory}/version-cache.ts`,
      from: "start <= timestamp && timestamp <= end",
      to: "start <= timestamp",
      noticedBy: [parts, "never gives a version"],
    },
    {
      breaks: "that a page which is loaded again finds its own log",
      file: `${directory}/browser-storage.ts`,
      from: "if (!before.has(index) || ",
      to: "if (",
      noticedBy: [tabs, "loaded again"],
    },
    {
      breaks: "that a log waits for who knows its code",
      file: `${directory}/queues.ts`,
      from: "return code !== undefined && this.#code.has(code);",
      to: "return code !== undefined;",
      noticedBy: [tabs, "who knows its code"],
    },
    {
      breaks: "that numbers go on behind those of an earlier life",
      file: `${directory}/client-log.ts`,
      from: "this.#number = reserved;",
      to: "this.#number = 0;",
      noticedBy: [parts, "never gives a number twice"],
    },
  ],
  ["test/reactive", "test/core", "test/e2e", "test/cli"],
);

/** Negative controls of reactive runs and of access: each breaks one line of the program, and a test must notice. */
import { testMutants } from "../../mutants.ts";

const tests = "test/reactive/frontend/watches.test.ts";
const watches = "src/reactive/frontend/watches";
const accessTests = "test/reactive/frontend/access.test.ts";
const access = "src/reactive/frontend/access";
const writers = "test/reactive/cluster/writers.test.ts";
const turnTests = "test/reactive/frontend/turns.test.ts";
const turns = "src/reactive/frontend/clients/turns.ts";

const lives = "every run of 16 random lives";
const follower = "src/reactive/engines/builtin/feed-follower.ts";
const followerTests = "test/reactive/engine/feed-follower.test.ts";

testMutants(
  [
    {
      breaks: "a read at a timestamp that waits for what is prepared on its keys",
      file: "src/reactive/shard/queries.ts",
      from: "if (ids.length === 0) return answer();",
      to: "return answer();",
      noticedBy: [tests, "S12"],
    },
    {
      breaks: "a run that reads every key at one timestamp",
      file: `${watches}/watching.ts`,
      from: "reader: new SnapshotReader((keys, at) => engine.read(keys, at)),",
      to: "reader: new SnapshotReader((keys) => engine.readNewest(keys)),",
      noticedBy: [tests, lives],
    },
    {
      breaks: "the comparison that closes the gap between a first run and its registration",
      file: `${watches}/watcher.ts`,
      from: "else await this.#compare(watch, revision);",
      to: "",
      noticedBy: [tests, lives],
    },
    {
      breaks: "S11: timestamps that rise from run to run",
      file: `${watches}/watcher.ts`,
      from: "this.#outlet.send(this.#shared.messages.encode(at, written));",
      to: "for (let time = 0; time < 2; time++) this.#outlet.send(this.#shared.messages.encode(at, written));",
      noticedBy: [tests, lives],
    },
    {
      breaks: "S11: a last run that shows the last state",
      file: `${watches}/watch-index.ts`,
      from: "for (const watch of this.#byKey.get(name) ?? []) watch.onChange(timestamp);",
      to: "for (const watch of this.#byKey.get(name) ?? []) if (timestamp % 3 > 0) watch.onChange(timestamp);",
      noticedBy: [tests, lives],
    },
    {
      breaks: "a registration that is in the index before its first read",
      file: `${watches}/watcher.ts`,
      from: "    index.add(watch);\n    const { revision } = watch;\n",
      to: "    const { revision } = watch;\n    const wait = () => this.#shared.store.nextTimestamp();\n    void wait().then(wait).then(wait).then(wait).then(wait).then(() => index.add(watch));\n",
      noticedBy: [tests, "S13"],
    },
    {
      breaks:
        "changes that are compared with what this watch has seen, not with what its client was last told",
      file: `${watches}/watch.ts`,
      from: "if (timestamp <= this.seen) return;",
      to: "if (timestamp <= this.seen || this.#changes > 0) return;",
      noticedBy: [tests, "S16"],
    },
    {
      breaks: "changes during a read, which are kept for the next round",
      file: `${watches}/watch.ts`,
      from: "    this.seen = at;\n    this.#clear();\n    return due;",
      to: "    this.seen = at + 1;\n    this.#clear();\n    return due;",
      noticedBy: [tests, lives],
    },
    {
      breaks: "a read set that replaces the one before it",
      file: `${watches}/watch.ts`,
      from: "    this.names = keys.map(nameOf);",
      to: "    if (this.revision === 1) this.names = keys.map(nameOf);",
      noticedBy: [tests, "S14"],
    },
    {
      breaks: "an index that forgets what is no longer read",
      file: `${watches}/watcher.ts`,
      from: "if (known !== undefined) index.remove(known);",
      to: "",
      noticedBy: [tests, "S14"],
    },
    {
      breaks: "a client that leaves and takes its watches along",
      file: `${watches}/watcher.ts`,
      from: "for (const watch of this.#watches.values()) this.#shared.index.remove(watch);",
      to: "",
      noticedBy: [tests, "S15"],
    },
    {
      breaks: "a window of rounds without an acknowledgement",
      file: `${watches}/watcher.ts`,
      from: "if (this.#unacked.length >= this.#unackedMax || this.#outlet.isCongested) return;",
      to: "if (this.#outlet.isCongested) return;",
      noticedBy: [tests, "S16"],
    },
    {
      breaks: "a client that does not read, and is sent nothing",
      file: `${watches}/watcher.ts`,
      from: "if (this.#unacked.length >= this.#unackedMax || this.#outlet.isCongested) return;",
      to: "if (this.#unacked.length >= this.#unackedMax) return;",
      noticedBy: [tests, "S16"],
    },
    {
      breaks: "watchers that read again when the feed lost something",
      file: `${watches}/watch.ts`,
      from: '    this.mark("refetch");\n',
      to: "",
      noticedBy: [tests, "a shard that no longer has"],
    },
    {
      breaks: "what was heard of before a range's watch was replaced",
      file: `${watches}/watcher.ts`,
      from: "    watch.catchUp();\n",
      to: "",
      noticedBy: [tests, "a range that changed while its watch was replaced"],
    },
    {
      breaks: "a refetch where deleted keys are forgotten",
      file: `${watches}/watcher.ts`,
      from: 'if (versions.some(({ start }) => start === 0) && seen < horizon) watch.mark("refetch");',
      to: "",
      noticedBy: [tests, "what was deleted"],
    },
    {
      breaks: "a run that is given back when its read fails",
      file: `${watches}/watcher.ts`,
      from: "      watch.giveBack(taken);\n",
      to: "",
      noticedBy: [tests, "a read that fails"],
    },
    {
      breaks: "progress that waits for what is prepared",
      file: "src/reactive/shard/queries.ts",
      from: "isAll ? Math.min(upTo, state.prepared.floor, ...shard.atOnce.floors()) : 0",
      to: "isAll ? upTo : 0",
      noticedBy: [tests, "progress reaches"],
    },
    {
      breaks: "progress that is not told over a run on its way",
      file: `${watches}/watcher.ts`,
      from: "if (this.#watches.size === 0 || this.#dirty.size > 0 || this.#isReading || at <= this.#told) return;",
      to: "if (this.#watches.size === 0 || at <= this.#told) return;",
      noticedBy: [tests, "progress reaches"],
    },
    {
      breaks: "a client that does not read, and is not told of progress",
      file: `${watches}/watcher.ts`,
      from: "    if (this.#outlet.isCongested) return;\n",
      to: "",
      noticedBy: [tests, "not told of progress"],
    },
    {
      breaks: "a feed that has begun before anybody is told so: what changes in between is missed",
      file: follower,
      from: "    this.begin();\n    return waiter.promise;",
      to: "    this.begin();\n    return Promise.resolve();",
      noticedBy: [tests, "a frontend where nobody watches"],
    },
    {
      breaks: "a feed that asks nothing while nobody watches",
      file: follower,
      from: "        if (this.#mayRest) await this.#rest();\n",
      to: "",
      noticedBy: [tests, "a frontend where nobody watches"],
    },
    {
      breaks: "how far a feed is, which is not known of one that rested meanwhile",
      file: follower,
      from: "return this.#position === END ? 0 : reply.floor;",
      to: "return reply.floor;",
      noticedBy: [followerTests, "how far a feed is"],
    },
    {
      breaks: "a feed of all shards for who watches one",
      file: "src/reactive/engines/builtin/shard-feeds.ts",
      from: "    for (const follower of followers) follower.begin();\n",
      to: "",
      noticedBy: [followerTests, "a watch of one shard"],
    },
    {
      breaks: "a range that counts as followed only when its shards are",
      file: `${watches}/watcher.ts`,
      from: "new Set(watch.isReady ? watch.prefixes : [])",
      to: "new Set(watch.prefixes)",
      noticedBy: [tests, "a range whose watch is replaced"],
    },
    {
      breaks: "watches that go along with those that are due",
      file: `${watches}/watcher.ts`,
      from: "return keys > TOGETHER_KEYS_MAX ? [] : others;",
      to: "return keys > 0 ? [] : others;",
      noticedBy: [tests, "all watches of a client"],
    },
    {
      breaks: "a token that has to be known",
      file: `${access}/principals.ts`,
      from: "    let found: Identity | undefined;",
      to: "    let found: Identity | undefined = this.#known[0];",
      noticedBy: [accessTests, "a token names"],
    },
    {
      breaks: "a client that is sent away when its token is revoked",
      file: "src/reactive/frontend/clients/conversation.ts",
      from: "this.#identity === undefined || principals.isKnown(this.#identity)",
      to: "this.#identity === undefined || principals !== undefined",
      noticedBy: ["test/reactive/frontend/conversation.test.ts", "a client whose token"],
    },
    {
      breaks: "a token that counts for one principal only",
      file: `${access}/principals.ts`,
      from: "each.name === name && digest",
      to: "digest",
      noticedBy: [accessTests, "who came in with a token"],
    },
    {
      breaks: "rights to write apart from those to read",
      file: `${access}/tables.ts`,
      from: 'right === "read" ? table.readers : table.writers',
      to: "table.readers",
      noticedBy: [accessTests, "what a transaction reads"],
    },
    {
      breaks: "that who came later comes later",
      file: turns,
      from: "line.members.splice(place < 0 ? line.members.length : place, 0, member);",
      to: "line.members.unshift(member);",
      noticedBy: [writers, "of one key, half of them far away"],
    },
    {
      breaks: "that a commit which is not in line does not overtake those that are",
      file: turns,
      from: "if (member === undefined) await this.#beAsPoliteAsNeeded(accesses);",
      to: "if (member === undefined) void accesses;",
      noticedBy: [writers, "of one key, half of them far away"],
    },
    {
      breaks: "a turn that ends when nobody uses it",
      file: turns,
      from: "      this.endAll(member.place);\n",
      to: "",
      noticedBy: [writers, "a client that is frozen"],
    },
    {
      breaks: "the place of who was refused in its turn",
      file: turns,
      from: "if (isTriedAgain && !member.isOver)",
      to: "if (isTriedAgain && member.isOver)",
      noticedBy: [turnTests, "who is refused in its turn"],
    },
    {
      breaks: "that a turn needs the right to write",
      file: "src/reactive/frontend/clients/requests.ts",
      from: "place !== undefined && store.tables.mayWrite(principal, keys)",
      to: "place !== undefined",
      noticedBy: [turnTests, "who may not write"],
    },
    {
      breaks: "that a transaction leaves the line when its code gives up",
      file: "src/reactive/client/transactions.ts",
      from: "      turn.leave();\n",
      to: "",
      noticedBy: [writers, "who gives up in its turn"],
    },
    {
      breaks: "the longest prefix that counts",
      file: `${access}/tables.ts`,
      from: ".sort((a, b) => b - a)",
      to: ".sort((a, b) => a - b)",
      noticedBy: [accessTests, "of several tables"],
    },
    {
      breaks: "a range whose tables are all looked at",
      file: `${access}/tables.ts`,
      from: 'if (table.name.startsWith(name)) this.check(principal, "read", table.prefix);',
      to: "",
      noticedBy: [accessTests, "a range is readable"],
    },
    {
      breaks: "reads of a transaction that need a right of their own",
      file: `${access}/tables.ts`,
      from: 'if (reads.length > 0) this.check(principal, "read", key);',
      to: "",
      noticedBy: [accessTests, "what a transaction reads"],
    },
  ],
  ["test/reactive"],
);

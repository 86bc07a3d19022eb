/** Defects of the transactional store that its simulation must find. See mutants.test.ts. */
import type { Mutant } from "../../mutants.ts";

/** Seeds 1 to 60; the first that fails ends it. */
const SIMULATION: [string, string] = [
  "test/reactive/cluster/simulation.test.ts",
  "S22: seeds (1|11|21|31|41|51) to",
];
const SHARD = "src/reactive/shard";

export const storeMutants: readonly Mutant[] = [
  {
    breaks: "a timestamp is taken before the votes",
    file: "src/reactive/engines/builtin/coordinator.ts",
    from: "    const { largest, result } = await this.#votes(id, split, participants);",
    to: `    const early = await this.#options.nextTimestamp();
    (this.#options as { nextTimestamp(): Promise<number> }) = { ...this.#options, nextTimestamp: async () => early };
    const { largest, result } = await this.#votes(id, split, participants);`,
    noticedBy: SIMULATION,
  },
  {
    breaks: "prefetch: a frontend keeps timestamps for later",
    file: "src/reactive/tss/client.ts",
    from: "  next(): Promise<number> {\n",
    to: `  #kept: number[] = [];
  async next(): Promise<number> {
    const kept = this.#kept.shift();
    if (kept !== undefined) return kept;
    const first = await this.#take(4);
    this.#kept.push(first + 1, first + 2, first + 3);
    return first;
`,
    noticedBy: SIMULATION,
  },
  {
    breaks: "a read of now is as of what its frontend knows",
    file: "src/reactive/engines/builtin/backend.ts",
    from: "return this.#readAt(keys, at ?? (await this.nextTimestamp()));",
    to: "return this.#readAt(keys, at ?? this.#known);",
    noticedBy: ["test/reactive/shard/fresh-reads.test.ts", "takes its place below it"],
  },
  {
    breaks: "a key that was read as absent is not checked",
    file: `${SHARD}/checks.ts`,
    from: "=> versions.changed(key, part, version, wasPresent));",
    to: "=> version > 0 && versions.changed(key, part, version, wasPresent));",
    noticedBy: SIMULATION,
  },
  {
    breaks: "what is read is valid for ever",
    file: `${SHARD}/queries.ts`,
    from: "Math.max(start, timestamp, endOf(shard, key, known));",
    to: "Number.MAX_SAFE_INTEGER;",
    noticedBy: SIMULATION,
  },
  {
    breaks: "a snapshot does not wait for what is prepared",
    file: `${SHARD}/queries.ts`,
    from: "[...shard.atOnce.on(key), ...prepared.writersOf(key).map(idOf)]",
    to: "[...shard.atOnce.on(key)]",
    noticedBy: SIMULATION,
  },
  {
    breaks: "a participant votes without looking at what is prepared",
    file: `${SHARD}/checks.ts`,
    from: "if (prepared.conflictWith(level, access) !== undefined) return",
    to: "if (level > 9) return",
    noticedBy: SIMULATION,
  },
  {
    breaks: "the second record wins: an orphan is aborted after its commit",
    file: `${SHARD}/service.ts`,
    from: "  *#abort(id: TransactionId): Steps<FinalOutcome> {\n    const outcome = this.#known(id);\n    if (outcome !== undefined) return outcome;\n",
    to: "  *#abort(id: TransactionId): Steps<FinalOutcome> {\n",
    noticedBy: ["test/reactive/shard/transactions.test.ts", "the first record of a decision is its only one"],
  },
  {
    breaks: "first committer does not win",
    file: `${SHARD}/checks.ts`,
    from: "if (level === Level.snapshot && isOverwritten(shard, access, snapshot))",
    to: "if (level > 9)",
    noticedBy: SIMULATION,
  },
  {
    breaks: "nobody settles what dead frontends left",
    file: "src/reactive/engines/builtin/settler.ts",
    from: "const isDue = nowMs - (look.seen.get(name) ?? nowMs) >= this.#settleAfterMs;",
    to: 'const isDue = name === "";',
    noticedBy: SIMULATION,
  },
  {
    breaks: "one entry commits below what was read",
    file: `${SHARD}/at-once.ts`,
    from: "if (accesses.some(({ key }) => timestamp <= this.#marks.of(key))) return false;",
    to: "",
    noticedBy: ["test/reactive/shard/at-once.test.ts", "what was answered at a timestamp"],
  },
  {
    breaks: "one entry commits below what a committed transaction read",
    file: `${SHARD}/checks.ts`,
    from: "  if (timestamp <= state.readMarks.of(key)) return true;\n",
    to: "",
    noticedBy: SIMULATION,
  },
  {
    breaks: "reads do not wait for what is ordered and not applied",
    file: `${SHARD}/at-once.ts`,
    from: "return this.#commandsOn(key).map(attemptOf);",
    to: "return [];",
    noticedBy: SIMULATION,
  },
  {
    breaks: "keys that share a slot wait for each other",
    file: `${SHARD}/at-once.ts`,
    from: "places.filter((place) => compareBytes(place.key, key) === 0).map(",
    to: "places.map(",
    noticedBy: ["test/reactive/shard/at-once.test.ts", "keys that share a slot"],
  },
  {
    breaks: "S9: operations of one kind are in each other's way",
    file: `${SHARD}/docc.ts`,
    from: "  if (isCommutative(a) && a.kind === b.kind) return true;\n",
    to: "",
    noticedBy: ["test/reactive/shard/transactions.test.ts", "blind increments, appends and inserts"],
  },
  {
    breaks: "S23: a frame is taken that fails its checksum",
    file: "src/reactive/wire/frame.ts",
    from: 'throw new WireError("a frame fails its checksum");',
    to: "void 0;",
    noticedBy: ["test/reactive/wire/frame.test.ts", "every flipped bit"],
  },
  {
    breaks: "a refusal is not final",
    file: `${SHARD}/service.ts`,
    from: "    this.figures.aborts[refusal.reason] += 1;\n    this.#record({ id, timestamp: 0, isFinished: true, participants });\n",
    to: "    this.figures.aborts[refusal.reason] += 1;\n",
    noticedBy: ["test/reactive/shard/transactions.test.ts", "a refusal is final"],
  },
  {
    breaks: "a timestamp of an earlier view is good enough",
    file: `${SHARD}/at-once.ts`,
    from: "if (view !== this.#view || ",
    to: "if (",
    noticedBy: ["test/reactive/shard/at-once.test.ts", "a timestamp that was asked for before this view"],
  },
  {
    breaks: "the log of a new view is chosen by its last entry's view (Figure 8)",
    file: "src/reactive/replication/view-change.ts",
    from: "      logView: state.logView,\n",
    to: "      logView: state.log.last?.view ?? 0,\n",
    noticedBy: SIMULATION,
  },
  {
    breaks: "a copy that is not executed is waited for, for ever",
    file: `${SHARD}/service.ts`,
    from: "    for (const command of skipped) this.#skip(command);\n",
    to: "",
    noticedBy: ["test/reactive/shard/at-once-copies.test.ts", "nobody waits for it"],
  },
  {
    breaks: "operations that cannot be read are not refused for that",
    file: `${SHARD}/checks.ts`,
    from: "return isReadable(access) && !footprintOf",
    to: "return !footprintOf",
    noticedBy: ["test/reactive/shard/at-once-copies.test.ts", "cannot be read are refused"],
  },
  {
    breaks: "what was carried out and forgotten is locked for ever by a copy",
    file: `${SHARD}/service.ts`,
    from: "      // Decided before this vote, and carried out: a copy that came when that was forgotten here.\n",
    to: '      if (timestamp > 0) throw new WireError("a commit from before the vote");\n',
    noticedBy: ["test/reactive/shard/transactions.test.ts", "carried out and forgotten changes nothing"],
  },
  {
    breaks: "a shard that does not answer keeps what others hold from being settled",
    file: "src/reactive/engines/builtin/settler.ts",
    from: "void this.#quietly(settle()).then(end);",
    to: "await settle().then(end);",
    noticedBy: ["test/reactive/shard/settler.test.ts", "hold up nothing of the others"],
  },
  {
    breaks: "two attempts of a transaction are one",
    file: `${SHARD}/at-once.ts`,
    from: "if (!this.#underWay.delete(command)) return;",
    to: "if (!this.#underWay.delete(command)) return; for (const each of [...this.#underWay]) if (idText(each.transaction.id) === idText(command.transaction.id)) this.applied(each);",
    noticedBy: ["test/reactive/shard/at-once-copies.test.ts", "the second is waited for"],
  },
  {
    breaks: "a transaction that names a key twice stops its shard for good",
    file: `${SHARD}/transaction.ts`,
    from: "  if (accesses.length > 1 && haveTwins(accesses.map(({ key }) => key))) throw namesTwice();\n",
    to: "",
    noticedBy: ["test/reactive/shard/transactions.test.ts", "names a key twice"],
  },
  {
    breaks: "read committed looks above what is under way",
    file: `${SHARD}/queries.ts`,
    from: "const bound = Math.min(NEWEST, ...boundsOf(shard, key));",
    to: "const bound = NEWEST;",
    noticedBy: [
      "test/reactive/shard/committed-reads.test.ts",
      "what may still get a smaller timestamp hides",
    ],
  },
  {
    breaks: "what was read committed may be written below",
    file: `${SHARD}/queries.ts`,
    from: "    shard.atOnce.mark(key, start);\n",
    to: "",
    noticedBy: ["test/reactive/shard/committed-reads.test.ts", "what was seen is not written below"],
  },
  {
    breaks: "a shard decides that who asks for the outcome does not know of",
    file: "src/reactive/engines/builtin/coordinator.ts",
    from: "participants.find((shard) => parts.get(shard)?.accesses.some(isWrite)) ?? 0;",
    to: "participants[0] ?? 0;",
    noticedBy: ["test/reactive/shard/home-last.test.ts", "a shard that is only read is no home"],
  },
  {
    breaks: "a home that decides at once forgets it before the others have carried it out",
    file: `${SHARD}/service.ts`,
    from: "this.#record({ id, timestamp, isFinished: participants.length <= 1, participants });",
    to: "this.#record({ id, timestamp, isFinished: true, participants });",
    noticedBy: ["test/reactive/shard/home-last.test.ts", "a frontend that dies behind its answer"],
  },
  {
    breaks: "a home decides before the others have voted",
    file: "src/reactive/engines/builtin/coordinator.ts",
    from: "await this.#votes(id, split, others);",
    to: "await this.#votes(id, split, []);",
    noticedBy: ["test/reactive/shard/home-last.test.ts", "the home votes and decides in one entry"],
  },
  {
    breaks: "a client of a group that turns to another replica does not ask it what the first one was asked",
    file: "src/reactive/replication/group-client.ts",
    from: "    this.#resendTimer?.cancel();\n    this.#resendAll();\n  }\n\n  #onResult",
    to: "    this.#resendTimer?.cancel();\n  }\n\n  #onResult",
    noticedBy: ["test/reactive/cluster/rolling.test.ts", "S25: processes are (told to stop|killed), one"],
  },
  {
    breaks: "a transaction of very many keys is checked and written without a pause",
    file: `${SHARD}/long-transactions.ts`,
    from: "if (accesses.length <= stepAccesses) {",
    to: "if (accesses.length >= 0 * stepAccesses) {",
    noticedBy: ["test/reactive/shard/long-transactions.test.ts", "in short steps"],
  },
  {
    breaks: "one of very many keys is taken in one entry",
    file: `${SHARD}/service.ts`,
    from: "    if (isLongerThan(this.settings.stepAccesses, ordered.body)) return this.#late();\n",
    to: "",
    noticedBy: ["test/reactive/shard/long-transactions.test.ts", "is not taken in one entry"],
  },
  {
    breaks: "readers are let go in the midst of an entry",
    file: `${SHARD}/service.ts`,
    from: "    this.waiting.hold();\n",
    to: "",
    noticedBy: ["test/reactive/shard/long-transactions.test.ts", "not in the midst of it"],
  },
  {
    breaks: "a snapshot shows outcomes as they are when it is read",
    file: `${SHARD}/outcomes.ts`,
    from: "    this.#beforeChange(client);\n",
    to: "",
    noticedBy: ["test/reactive/shard/outcomes.test.ts", "as they were when it began"],
  },
  {
    breaks: "a replica forgets by its own file",
    file: `${SHARD}/service.ts`,
    from: "const { retentionMs, outcomeRetentionMs, keptOutcomeRetentionMs } = state.retention;",
    to: "const { retentionMs, outcomeRetentionMs, keptOutcomeRetentionMs } = this.settings;",
    noticedBy: ["test/reactive/shard/retention.test.ts", "what the log says counts"],
  },
  {
    breaks: "nobody says that its file does not count",
    file: `${SHARD}/retention-keeper.ts`,
    from: "    log.warn(`${text}",
    to: "    log.info(`${text}",
    noticedBy: ["test/reactive/shard/retention.test.ts", "who has another file says so"],
  },
  {
    breaks: "the newest version of a key is taken for the one above it",
    file: "src/native/versions.ts",
    from: "    return this.#block[Block.start] as number;",
    to: "    return this.#block[Block.next] as number;",
    noticedBy: ["test/reactive/shard/versions.test.ts", "does what its model does"],
  },
  {
    breaks: "very many keys are one question",
    file: "src/reactive/engines/builtin/backend.ts",
    from: "if (keys.length <= KEYS_PER_QUESTION) return ask(keys);",
    to: "if (keys.length >= 0 * KEYS_PER_QUESTION) return ask(keys);",
    noticedBy: ["test/reactive/shard/long-transactions.test.ts", "in parts that a shard answers shortly"],
  },
];

/** Defects that a simulation must find: each breaks one promise of replication. See mutants.test.ts. */
import type { Mutant } from "../../mutants.ts";

const SIMULATION: [string, string] = [
  "test/reactive/replication/simulation.test.ts",
  "a group keeps its promises, seeds 1 to 20",
];
const SMALL: [string, string] = [SIMULATION[0], "a group of one, and of two, keep their promises"];
/** A schedule of replica.test.ts. */
const schedule = (name: string): [string, string] => ["test/reactive/replication/replica.test.ts", name];
/** A claim of pauses.test.ts. */
const pauses = (name: string): [string, string] => ["test/reactive/replication/pauses.test.ts", name];
/** A claim of snapshot-transfer.test.ts. */
const transfer = (name: string): [string, string] => [
  "test/reactive/replication/snapshot-transfer.test.ts",
  name,
];
const FOLDER = "src/reactive/replication";

export const replicationMutants: readonly Mutant[] = [
  {
    breaks: "a backup is ready before it knows whether it is behind",
    file: `${FOLDER}/state.ts`,
    from: "  hasHeardPrimary = false;",
    to: "  hasHeardPrimary = true;",
    noticedBy: schedule("a backup that was started again"),
  },
  {
    breaks: "whoever comes in is sent to the first group of the port",
    file: `${FOLDER}/group-port.ts`,
    from: 'const isAny = group === "" && peer === undefined && this.#members.size === 1;',
    to: "const isAny = group !== undefined && peer === undefined;",
    noticedBy: ["test/reactive/replication/group-port.test.ts", "who names a group"],
  },
  {
    breaks: "a replica in the same process answers within the call",
    file: `${FOLDER}/replica-line.ts`,
    from: "this.#reply = (result) => later(() => listener.onResult(result));",
    to: "this.#reply = (result) => listener.onResult(result);",
    noticedBy: ["test/reactive/replication/group-port.test.ts", "a replica in the same process"],
  },
  {
    breaks: "entries carry what the wall clock of their primary says",
    file: `${FOLDER}/normal.ts`,
    from: "const { settings, view, groupMs } = this.#state;",
    to: "const { settings, view, wallMs: groupMs } = this.#state;",
    noticedBy: ["test/reactive/replication/group-clock.test.ts", "a wall clock that is set"],
  },
  {
    breaks: "entries behind a snapshot that is fetched go like all others",
    file: `${FOLDER}/entry-log.ts`,
    from: "if (isKept || (this.#start > heldOp && this.#bytes <= heldBytesMax)) break;",
    to: "if (isKept || (heldOp < 0 && heldBytesMax < 0)) break;",
    noticedBy: ["test/reactive/replication/entry-log.test.ts", "behind a snapshot that somebody fetches"],
  },
  {
    breaks: "all entries of a turn travel in one message",
    file: `${FOLDER}/normal.ts`,
    from: "      if (bytes > this.#state.settings.transferBytesMax) {\n",
    to: "      if (messages.length === 0) {\n",
    noticedBy: schedule("long entries travel one by one"),
  },
  {
    breaks: "a chunk of a snapshot travels in one message",
    file: `${FOLDER}/service.ts`,
    from: "  for (; chunk.byteLength - at >= PART_BYTES_MAX; at",
    to: "  for (; chunk.byteLength - at >= 2 ** 40; at",
    noticedBy: transfer("a chunk of any length"),
  },
  {
    breaks: "two that read snapshots at the same time",
    file: `${FOLDER}/snapshot-transfer.ts`,
    from: "    if (!this.#service.canBeRead) return undefined;\n",
    to: "",
    noticedBy: transfer("one at a time reads"),
  },
  {
    breaks: "who reads a snapshot late ends the next one's",
    file: `${FOLDER}/service.ts`,
    from: "      if (!isOpen) return;\n",
    to: "",
    noticedBy: transfer("one at a time reads"),
  },
  {
    breaks: "the log of a new view is chosen by its last entry's view (Figure 8)",
    file: `${FOLDER}/view-change.ts`,
    from: "      logView: state.logView,\n",
    to: "      logView: state.log.last?.view ?? 0,\n",
    noticedBy: schedule("figure 8"),
  },
  {
    breaks: "a replica that lost its disk votes at once",
    file: `${FOLDER}/membership.ts`,
    from: "this.#recover(members);",
    to: "this.#join((members[0] as Answer).group, () => {});",
    noticedBy: SIMULATION,
  },
  {
    breaks: "entries are acknowledged before they are synced",
    file: `${FOLDER}/driver.ts`,
    from: 'return this.#journal.write(action.record, () => this.#step({ kind: "durable", write: action.write }));',
    to: 'this.#journal.write(action.record, () => {}); return this.#step({ kind: "durable", write: action.write });',
    noticedBy: SMALL,
  },
  {
    breaks: "the primary counts its own copy before it is synced",
    file: `${FOLDER}/normal.ts`,
    from: "this.#acknowledged[state.self] = state.durableOp;",
    to: "this.#acknowledged[state.self] = state.log.op;",
    noticedBy: schedule("the primary counts its own copy"),
  },
  {
    breaks: "an entry is committed by half of the group",
    file: `${FOLDER}/normal.ts`,
    from: "state.commitTo(ops[state.quorum - 1] as number);",
    to: "state.commitTo(ops[state.quorum - 2] as number);",
    noticedBy: schedule("a request is committed when a quorum"),
  },
  {
    breaks: "a primary answers reads without lease or round",
    file: `${FOLDER}/lease.ts`,
    from: "commit >= op && (isHeld || answeredMs >= arrivedAtMs)",
    to: "commit >= op",
    noticedBy: schedule("wait for a quorum when nobody has promised"),
  },
  {
    breaks: "a busy backup takes a primary for dead whose messages it has not read",
    file: `${FOLDER}/state.ts`,
    from: "    if (lostMs <= 0) return;\n",
    to: "    if (lostMs > -1e9) return;\n",
    noticedBy: pauses("do not replace a primary"),
  },
  {
    breaks: "a backup that was paused helps another one to replace a primary whose messages it has not read",
    file: `${FOLDER}/state.ts`,
    from: "    if (this.promisedUntilMs > this.nowMs) this.promisedUntilMs += lostMs;\n",
    to: "",
    noticedBy: pauses("helps nobody"),
  },
  {
    breaks: "a primary that is late now and then is replaced as fast as a punctual one",
    file: `${FOLDER}/state.ts`,
    from: "this.#longestSilenceMs = Math.max(silenceMs, faded);",
    to: "this.#longestSilenceMs = 0 * faded;",
    noticedBy: pauses("late now and then"),
  },
  {
    breaks: "a backup that is always late never asks for another primary",
    file: `${FOLDER}/state.ts`,
    from: "nowMs - this.nowMs - this.settings.electionMinMs / LOOKS_MIN;",
    to: "nowMs - this.nowMs;",
    noticedBy: pauses("that are late each time"),
  },
  {
    breaks: "backups break their promise to the primary",
    file: `${FOLDER}/view-change.ts`,
    from: "return state.nowMs >= state.promisedUntilMs;",
    to: "return true;",
    noticedBy: schedule("a backup helps nobody"),
  },
  {
    breaks: "a request that is repeated is executed again",
    file: `${FOLDER}/sessions.ts`,
    from: 'if (session.replies.has(number)) return "known";',
    to: 'if (session.replies.has(number)) return "new";',
    noticedBy: SIMULATION,
  },
  {
    breaks: "a primary that restarts goes on in its view",
    file: `${FOLDER}/replica.ts`,
    from: "this.#viewChange.resign();\n        this.#viewChange.propose(state.view + 1);",
    to: 'state.phase = "normal";\n        this.#begin();',
    noticedBy: schedule("a primary that restarts asks"),
  },
  {
    breaks: "a primary that is asked to end is gone before it has said so",
    file: `${FOLDER}/group-node.ts`,
    from: "while (isPrimary && ",
    to: "while (view < 0 && ",
    noticedBy: ["test/reactive/tss/tss.test.ts", "hands over first"],
  },
  {
    breaks: "uncommitted entries of another view are kept",
    file: `${FOLDER}/catch-up.ts`,
    from: "let keep = commit;",
    to: "let keep = Math.max(commit, Math.min(log.op, target.op));",
    noticedBy: SIMULATION,
  },
  {
    breaks: "a log is shown for a new view without a promise on disk",
    file: `${FOLDER}/view-change.ts`,
    from: "if (state.isInstalling || state.durableView < state.view || ",
    to: "if (state.isInstalling || ",
    noticedBy: schedule("a log is shown for a new view only"),
  },
  {
    breaks: "a restarted replica forgets the view it promised",
    file: `${FOLDER}/state.ts`,
    from: "this.view = Math.max(promises?.view ?? 0, restored.logView);",
    to: "this.view = restored.logView;",
    noticedBy: schedule("a replica that restarts keeps its promise"),
  },
  {
    breaks: "messages of a lost self count",
    file: `${FOLDER}/replica.ts`,
    from: "if (incarnation < known) return false;",
    to: "",
    noticedBy: schedule("is not confused with its former self"),
  },
  {
    breaks: "a replica proposes and enters a view on its own",
    file: `${FOLDER}/view-change.ts`,
    from: "if (fresh.length >= quorum) this.#enter(view);",
    to: "this.#enter(view);",
    noticedBy: schedule("a backup with a bad link disturbs nobody"),
  },
  {
    breaks: "a host that was suspended believes in its lease",
    file: `${FOLDER}/lease.ts`,
    from: "this.#answeredMs.fill(Number.NEGATIVE_INFINITY);",
    to: "",
    noticedBy: schedule("are not answered by a lease after the host was suspended"),
  },
  {
    breaks: "snapshots leave the sessions out",
    file: `${FOLDER}/service.ts`,
    from: "        this.#sessions = sessions;\n",
    to: "",
    noticedBy: SIMULATION,
  },
  {
    breaks: "an entry that takes long is applied without a pause",
    file: `${FOLDER}/apply-queue.ts`,
    from: "while (step.done !== true && this.#waitingBytes > waitingBytesMax)",
    to: "while (step.done !== true && this.#waitingBytes >= 0 * waitingBytesMax)",
    noticedBy: ["test/reactive/replication/apply-queue.test.ts", "has one step a turn"],
  },
  {
    breaks: "reads do not wait for an entry that is half applied",
    file: `${FOLDER}/driver.ts`,
    from: "return this.#unapplied.behind(() => this.#settleRead(action.id, true));",
    to: "return this.#settleRead(action.id, true);",
    noticedBy: SIMULATION,
  },
  {
    breaks: "a snapshot shows an entry half applied",
    file: `${FOLDER}/service.ts`,
    from: "return !this.#isBeingRead && !this.#isApplying;",
    to: "return !this.#isBeingRead;",
    noticedBy: SIMULATION,
  },
  {
    breaks: "a request that is being applied is answered from its place in the table",
    file: `${FOLDER}/sessions.ts`,
    from: "if (body === undefined || body === NO_REPLY_YET) return undefined;",
    to: "if (body === undefined) return undefined;",
    noticedBy: ["test/reactive/replication/sessions.test.ts", "that is being applied"],
  },
];

/** Negative controls of the hub: each breaks one line, and the test that guards it turns red. */
import { testMutants } from "../mutants.ts";

const history = "test/hub/history/history.test.ts";
const access = "test/hub/access/access.test.ts";
const targets = "test/hub/targets.test.ts";
const recorder = "test/hub/recorder.test.ts";
const federation = "test/hub/federation.test.ts";
const stream = "test/hub/stream/stream.test.ts";

testMutants(
  [
    { breaks: "the login before figures", file: "src/hub/routes.ts", from: 'app.use("/api/*", demandSession(sessions));', to: "", noticedBy: [access, "tells nothing before the login"] },
    { breaks: "the login before metrics", file: "src/hub/routes.ts", from: 'app.use("/metrics", demandSession(sessions));', to: "", noticedBy: [access, "tells nothing before the login"] },
    { breaks: "the slowing of guesses", file: "src/hub/access/sessions.ts", from: "this.#failures += 1;", to: "", noticedBy: [access, "slows down whoever guesses"] },
    { breaks: "the end of sessions", file: "src/hub/access/sessions.ts", from: "if (endsAtMs <= nowMs)", to: "if (endsAtMs < 0)", noticedBy: [access, "ends sessions after their time"] },
    { breaks: "the end of a session's streams", file: "src/hub/viewers.ts", from: "if (!viewer.mayLook()) {", to: "if (false) {", noticedBy: [access, "ends the streams of a session"] },
    { breaks: "the page's token", file: "src/hub/access/guard.ts", from: "isSame(given, wanted)", to: "true", noticedBy: [access, "needs the token of the hub's own page"] },
    { breaks: "the refusal of other sites", file: "src/hub/access/guard.ts", from: 'const isOwn = site === undefined || site === "same-origin";', to: "const isOwn = true;", noticedBy: [access, "needs the token of the hub's own page"] },
    { breaks: "the refusal of rebound names", file: "src/hub/access/guard.ts", from: "sessions.demandsLogin || isCertainHost", to: "true || isCertainHost", noticedBy: [access, "answers only under names that cannot have been rebound"] },
    { breaks: "the switch of actions", file: "src/hub/routes.ts", from: "if (!options.allowsActions())", to: "if (false)", noticedBy: [access, "is refused where the configuration allows none"] },
    { breaks: "the token's way over TLS only", file: "src/hub/targets.ts", from: "...(isSafe && token !== undefined && { token })", to: "...(token !== undefined && { token })", noticedBy: [targets, "a token never goes to a plain address"] },
    { breaks: "the fresh start after damage", file: "src/hub/history/database.ts", from: 'if (verdict !== "ok") throw new HistoryDamaged(String(verdict));', to: "", noticedBy: [history, "flipped bytes"] },
    { breaks: "the catching up after a restart", file: "src/hub/history/history.ts", from: "this.#catchUp(this.#database);", to: "", noticedBy: [history, "keeps its coarse points right"] },
    { breaks: "the end of recording", file: "src/hub/history/history.ts", from: "if (this.#isClosed) return undefined;", to: "", noticedBy: [history, "is left alone by whoever records after the end"] },
    { breaks: "the forgetting of old rows", file: "src/hub/history/history.ts", from: "database.forgetRows(id, atMs - keptMs);", to: "void id, keptMs;", noticedBy: [history, "holds rows of each detail only as long"] },
    { breaks: "the break where nobody recorded", file: "src/hub/history/history.ts", from: "atMs - beforeMs > 2.5 * level.stepMs", to: "false", noticedBy: [history, "shows the time in between as a gap"] },
    { breaks: "the bound of lines", file: "src/hub/history/history.ts", from: "this.#numbers.size >= SERIES_MAX", to: "false", noticedBy: [history, "has a bounded number of lines"] },
    { breaks: "rates within one life only", file: "src/core/watch/watched.ts", from: "this.before = isSameLife ? this.latest : undefined;", to: "this.before = this.latest;", noticedBy: [recorder, "have no counter across a restart"] },
    { breaks: "the bound of what a page gets", file: "src/hub/details.ts", from: "value.slice(0, LIST_MAX).map", to: "value.map", noticedBy: [recorder, "what a page gets of an instance is bounded"] },
    { breaks: "one description for each metric", file: "src/hub/federation/exposition.ts", from: "} else if (described.has(name)) known.head.push(line);", to: "} else known.head.push(line);", noticedBy: [federation, "samples of one name stand together"] },
    { breaks: "the silence about the dead", file: "src/hub/federation/federate.ts", from: "if (isUp && polled.text !== undefined)", to: "if (polled.text !== undefined)", noticedBy: [federation, "leave out who does not answer"] },
    { breaks: "the bound of an instance's metrics", file: "src/hub/federation/metrics-poll.ts", from: '"/metrics", TIMEOUT_MS, TEXT_LENGTH_MAX)', to: '"/metrics", TIMEOUT_MS)', noticedBy: [federation, "GET /metrics has what polls brought"] },
    { breaks: "the one poll of an instance", file: "src/hub/federation/metrics-poll.ts", from: "if (polled.isBusy || (!isNewLife", to: "if ((!isNewLife", noticedBy: [federation, "one that does not end delays nobody"] },
    { breaks: "the spreading of polls", file: "src/hub/federation/metrics-poll.ts", from: "(isFirst ? chance : 1 + JITTER * (2 * chance - 1))", to: "1", noticedBy: [federation, "come once per period, at moments of their own"] },
    { breaks: "the five minutes of streams", file: "src/hub/stream/applications.ts", from: "application.forget(nowSecond - WINDOW_SECONDS);", to: "", noticedBy: [stream, "forget after five minutes"] },
  ],
  ["test/hub", "test/core", "test/tsconfig.json"],
); // prettier-ignore

/** JSON files of an original program, read through a role's dialect. */
import { afterAll, expect, test } from "bun:test";
import { noticeText } from "../../../src/core/config/problem.ts";
import { ConfigDirectory } from "./helpers.ts";

const directory = new ConfigDirectory();
afterAll(() => directory.remove());

/** The seed's samples as they stand in its README, but for the certificate. */
const regserver = `{
  "server" : {	/* configuration values passed to cherrypy web server */
    "server.socket_host": "0.0.0.0", 	/* bind to all IP interfaces */
    "server.socket_port": 8443,			/* listen on port 8443 */
    "server.thread_pool": 100
  },
  "isRegServer": true,
  "isLookupServer": false, 	/* set to true if you want this to also be a lookup server */
  "regdir": "regdir", 		/* directory for storing registrations for next epoch */
  "datadir": "datadir"		/* directory for storing presence database */
}`;
const lookup = `{
  "server": { "server.socket_host": "127.0.0.1", "server.socket_port": 8444 },
  "isRegServer": false, "isLookupServer": true,
  "regServer": "https://localhost:8443",
  "datadir": "lookupdatadir/"
}`;

test("the seed's registration server is configured as it was", async () => {
  const { config, problems, notices, role } = await directory.load(regserver, { file: "regserver.cfg" });
  expect(problems).toEqual([]);
  expect(role).toBe("regserver");
  expect(config?.instance).toBe("regserver");
  expect(config?.dataDir).toBe(`${directory.path}/datadir`);
  expect(config?.config).toMatchObject({
    ...{ host: "0.0.0.0", port: 8443, isRegServer: true, isLookupServer: false, registrationsDir: "regdir" },
    ...{ protocol: 1, debug: false, epochSeconds: 1800 },
  });
  expect(notices.map(noticeText)).toEqual([
    "regserver.cfg:5:5: note: server.server.thread_pool has no effect: idle connections take no thread here; pirThreads sets those that scan",
  ]);
});

test("a lookup server that only this host can reach allows the debugging command, which another does not", async () => {
  const onLoopback = await directory.load(lookup, { file: "lookupserver.cfg", role: "lookup" });
  expect(onLoopback.config?.config).toMatchObject({
    debug: true,
    regServer: "https://localhost:8443",
    protocol: 1,
  });
  const open = await directory.load(lookup.replace("127.0.0.1", "0.0.0.0"), { file: "lookupserver.cfg" });
  expect(open.config?.config.debug).toBe(false);
});

test("one process may be both", async () => {
  const both = regserver.replace('"isLookupServer": false', '"isLookupServer": true');
  const { config } = await directory.load(both, { file: "both.cfg" });
  expect(config?.role).toBe("regserver");
  expect(config?.config).toMatchObject({ isRegServer: true, isLookupServer: true });
});

test("the later prototype's keys choose protocol 2", async () => {
  const later = lookup.replace(
    '"isRegServer"',
    '"epochLength": 60, "dataEncSize": 80, "combined": false, "isRegServer"',
  );
  const { config } = await directory.load(later, { file: "later.cfg" });
  expect(config?.config).toMatchObject({ protocol: 2, epochSeconds: 60, payloadBytes: 64 });
});

test("a mistake is reported at the line that the operator wrote, an unknown key is a warning", async () => {
  const wrong = regserver.replace("8443,", '"8443",').replace('"regdir": "regdir"', '"regdr": "regdir"');
  const { problems, notices } = await directory.load(wrong, { file: "regserver.cfg" });
  expect(problems).toHaveLength(1);
  expect(problems[0]).toMatchObject({ origin: { line: 4 }, path: ["port"], got: '"8443"' });
  expect(notices.map(noticeText)).toContain(
    'regserver.cfg:9:3: warning: regdr is unknown to dp5server.py and ignored (did you mean "regdir"?)',
  );
});

test("keys of ours may stand beside the seed's", async () => {
  const ours = lookup.replace(
    '"isRegServer"',
    '"protocol": 3, "limits": { "requestBytesMax": 100000 }, "isRegServer"',
  );
  const { config, problems } = await directory.load(ours, { file: "lookupserver.cfg" });
  expect(problems).toEqual([]);
  expect(config?.config).toMatchObject({ protocol: 3, limits: { requestBytesMax: 100_000 } });
});

test("a file in our own keys is left alone", async () => {
  const own = await directory.load(`{ "isLookupServer": true, "isRegServer": true }`, {
    file: "regserver.json",
  });
  expect(own.config?.config).toMatchObject({ protocol: 3, isLookupServer: true });
});

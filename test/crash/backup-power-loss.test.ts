/** Power loss under archive and proxy: what was acknowledged is there; with a promise of the disk broken it is not. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { exploreReplication, type Start } from "./backup-replication.ts";
import { exploreArchive, exploreProxy, whole, withoutDirectorySync, withoutSync } from "./backup-harness.ts";

setDefaultTimeout(120_000);

test.each([
  ["an archive", exploreArchive],
  ["a proxy", exploreProxy],
] as const)("%s loses nothing that it acknowledged", (_name, explore) => {
  const result = explore(whole);
  console.log(`${result.points} moments, ${result.states} states`);
  expect(result.violations.slice(0, 5)).toEqual([]);
  expect(result.points).toBeGreaterThan(40);
  expect(result.states).toBeGreaterThan(500);
});

test.each([
  ["an archive", exploreArchive, "files are not synced", withoutSync],
  ["an archive", exploreArchive, "names are not synced", withoutDirectorySync],
  ["a proxy", exploreProxy, "files are not synced", withoutSync],
  ["a proxy", exploreProxy, "names are not synced", withoutDirectorySync],
] as const)("%s is found out (%#)", (_name, explore, _breaks, subject) => {
  expect(explore(subject).violations.length).toBeGreaterThan(0);
});

const starts: Start[] = ["nothing", "the first point", "another history"];

test.each(starts)(
  "the target of a replication that has %s goes on after power loss, and loses nothing",
  (start) => {
    const result = exploreReplication(whole, start);
    console.log(`${result.points} moments, ${result.states} states`);
    expect(result.violations.slice(0, 5)).toEqual([]);
    expect(result.points).toBeGreaterThan(20);
    expect(result.states).toBeGreaterThan(100);
  },
);

test.each(starts)("a target that has %s and does not sync is found out", (start) => {
  expect(exploreReplication(withoutSync, start).violations.length).toBeGreaterThan(0);
});

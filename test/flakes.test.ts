import { expect, test } from "bun:test";
import { failedTestsOf, flakesOf, passedTestsOf } from "./flakes.ts";

const suite = (file: string, ...cases: string[]) =>
  `<testsuites><testsuite name="${file}" file="${file}">${cases.join("\n")}</testsuite></testsuites>`;
const testCase = (file: string, name: string, inside = "") =>
  `<testcase name="${name}" classname="" time="0.1" file="${file}" line="2" assertions="1"${inside === "" ? " />" : `>\n${inside}</testcase>`}`;
const failure = '<failure type="TimeoutError" message="test timed out" />';

const report = suite(
  "a.test.ts",
  testCase("a.test.ts", "holds"),
  testCase("a.test.ts", "&lt;b&gt; waits", failure),
);

test("failed tests are read from a report, with the names that people know", () => {
  expect(failedTestsOf(report)).toEqual([{ file: "a.test.ts", name: "<b> waits" }]);
});

test("so are those that passed, with the names of their groups", () => {
  const inGroup = testCase("a.test.ts", "holds").replace('classname=""', 'classname="when dry"');
  const left = testCase("a.test.ts", "is left out", "<skipped />");
  expect(passedTestsOf(suite("a.test.ts", inGroup, left, testCase("a.test.ts", "works")))).toEqual([
    { file: "a.test.ts", name: "when dry holds" },
    { file: "a.test.ts", name: "works" },
  ]);
  expect(passedTestsOf(report)).toEqual([{ file: "a.test.ts", name: "holds" }]);
});

test("a test that passes when its file runs again is a flake", async () => {
  const files: string[] = [];
  const passes = async (file: string) => files.push(file) > 0;
  expect(await flakesOf(report, 1, passes)).toEqual([{ file: "a.test.ts", name: "<b> waits" }]);
  expect(files).toEqual(["a.test.ts"]);
});

test("a test that fails again fails, and so does a failure that no test of the report explains", async () => {
  expect(await flakesOf(report, 1, async () => false)).toEqual([]);
  expect(await flakesOf(report, 2, async () => true)).toEqual([]);
  expect(await flakesOf("<testsuites></testsuites>", 1, async () => true)).toEqual([]);
});

test("failures in many files are not flakes", async () => {
  const many = ["a", "b", "c", "d"].map((name) => suite(name, testCase(name, "waits", failure))).join("");
  expect(await flakesOf(many, 4, async () => true)).toEqual([]);
});

/** Group files of both dialects: every mistake with its line, a quorum that is a real majority. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseGroupFile, quorumOf, type GroupKind } from "../../../src/core/config/group-file.ts";
import { noticeText, problemText } from "../../../src/core/config/problem.ts";

function read(text: string, kind: GroupKind = "group") {
  const group = parseGroupFile("p0.config", Buffer.from(text), kind);
  return {
    addresses: group.members.map(({ host, port }) => `${host}:${port}`),
    quorum: group.quorum,
    failuresMax: group.failuresMax,
    problems: group.problems.map(problemText),
    notices: group.notices.map(noticeText),
  };
}

const clean = { problems: [], notices: [] };

describe("S2: both dialects", () => {
  test("host lines are replicas in the order of the file", () => {
    const text = "# group 0\n\nhost a:12345\nhost\tb:12345\n  HOST c.example:1 # the third\r\n   \n";
    expect(read(text)).toEqual({
      addresses: ["a:12345", "b:12345", "c.example:1"],
      quorum: 2,
      failuresMax: 1,
      ...clean,
    });
  });

  test("replica lines with f and multicast are the same group", () => {
    expect(read("f 1\nreplica a:1\nreplica b:2\nreplica c:3\nmulticast m:9\n")).toEqual({
      addresses: ["a:1", "b:2", "c:3"],
      quorum: 2,
      failuresMax: 1,
      problems: [],
      notices: ["p0.config:5:1: warning: multicast is not used and ignored"],
    });
  });

  test("a frontend's file has one address and its f means nothing", () => {
    expect(read("f 1\nreplica front:12354\n", "single")).toEqual({
      addresses: ["front:12354"],
      quorum: 1,
      failuresMax: 0,
      ...clean,
    });
  });

  test("IPv6 addresses stand in brackets", () => {
    expect(read("host [::1]:5\nhost [fe80::1%eth0]:6").addresses).toEqual(["::1:5", "fe80::1%eth0:6"]);
  });

  test.each([
    ["0x1", 3, []],
    ["01", 3, []],
    ["1", 5, ["p0.config:1:3: warning: f 1 is ignored: 5 replicas decide by a majority of 3 and survive 2"]],
  ])("f %s of %d replicas", (f, size, notices) => {
    const lines = Array.from({ length: size }, (_, index) => `replica h${index}:1`);
    expect(read(`f ${f}\n${lines.join("\n")}`)).toMatchObject({ problems: [], notices });
  });
});

describe("S2: a quorum is a majority", () => {
  test.each([
    [1, 1, 0],
    [2, 2, 0],
    [3, 2, 1],
    [4, 3, 1],
    [5, 3, 2],
    [6, 4, 2],
    [7, 4, 3],
  ])("of %d replicas %d decide and %d may fail", (size, quorum, failuresMax) => {
    const text = Array.from({ length: size }, (_, index) => `host h${index}:1`).join("\n");
    expect(read(text)).toMatchObject({ quorum, failuresMax, ...clean });
  });

  test("any two quorums share a member", () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 1000 }), (size) => 2 * quorumOf(size) > size));
  });
});

describe("S2: every mistake has its line", () => {
  test.each<[string, string, GroupKind, string[]]>([
    ["an unknown word", "host a:1\nhots b:2\n", "group", ['2:1: wanted one of host, replica, f, multicast, got "hots" (did you mean "host"?)']],
    ["no address", "host\n", "group", ["1:5: wanted an address and a port, such as host0:12345 after host, got nothing"]],
    ["an address that ssh would take for an option", "host -oX:1\n", "group", ["1:6: wanted an address and a port, such as host0:12345, got -oX:1"]],
    ["no port", "host a\n", "group", ["1:6: wanted an address and a port, such as host0:12345, got a"]],
    ["a port out of range", "host a:65536\nhost b:0", "group", ["1:6: wanted a port number from 1 to 65535 after the last colon, got a:65536", "2:6: wanted a port number from 1 to 65535 after the last colon, got b:0"]],
    ["a port by name", "host a:http\n", "group", ["1:6: wanted a port number from 1 to 65535 after the last colon, got a:http"]],
    ["IPv6 without brackets", "host fe80::1:5\n", "group", ["1:6: wanted an IPv6 address in brackets, such as [::1]:12345, got fe80::1:5"]],
    ["an address twice", "host a:1\nhost b:1\n\nreplica A:1\n", "group", ["4:9: wanted each address once, got A:1 again (first on line 1)"]],
    ["no addresses", "# nothing\n", "group", ["1:1: wanted lines host <name>:<port>, got none"]],
    ["f too large", "f 2\nreplica a:1\nreplica b:1\nreplica c:1\n", "group", ["1:3: wanted 5 addresses to survive 2 failures, got 3"]],
    ["f twice", "f 0\nf 0\nhost a:1", "group", ["2:3: wanted f once, got it again"]],
    ["f that is no number", "f one\nhost a:1", "group", ["1:3: wanted the number of failures to survive, got one"]],
    ["f without a number", "f\nhost a:1", "group", ["1:2: wanted the number of failures to survive after f, got nothing"]],
    ["a frontend with two addresses", "host a:1\nhost b:2\n", "single", ["2:6: wanted exactly one address, got 2"]],
    ["a frontend without address", "", "single", ["1:1: wanted one line host <name>:<port>, got none"]],
  ])("%s", (_, text, kind, problems) => {
    expect(read(text, kind).problems).toEqual(problems.map((problem) => `p0.config:${problem}`));
  }); // prettier-ignore

  test("several at once", () => {
    expect(read("host a\nbogus\nhost b:x\nf y\n").problems).toHaveLength(4);
  });
});

describe("S2: whatever the bytes", () => {
  test("it never throws, and says what is wrong when there is no address", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const group = parseGroupFile("p0.config", bytes, "group");
        return group.members.length > 0 || group.problems.length > 0;
      }),
    );
  });

  test("and of lines that look right, too", () => {
    const word = fc.constantFrom(
      "host",
      "replica",
      "f",
      "multicast",
      "#",
      "a:1",
      "[::1]:2",
      "1",
      "\r",
      "\t",
      "x y",
    );
    fc.assert(
      fc.property(fc.array(fc.array(word, { maxLength: 5 }), { maxLength: 20 }), (lines) => {
        const group = parseGroupFile(
          "p0.config",
          Buffer.from(lines.map((line) => line.join(" ")).join("\n")),
          "group",
        );
        return group.members.length > 0 || group.problems.length > 0;
      }),
    );
  });
});

/** What `node-x stream status` and its neighbours print for people. */
import { expect, test } from "bun:test";
import { answerRows } from "../../../src/streams/cli/answer-text.ts";

test("an answer is a line for each figure, named by where it is in the JSON", () => {
  const rows = answerRows({
    ...{ phase: "running", refusal: null, rests: [], isProcessing: true },
    keys: { "window 1": 6 },
    cluster: { eligible: ["worker2", "worker3"], members: [{ name: "worker2", isConnected: false }] },
    links: [{ to: "initializer", waitingBytes: 0 }],
    steps: [{ count: 1 }],
  });
  expect(Object.fromEntries(rows)).toEqual({
    ...{ phase: "running", refusal: "-", rests: "-", isProcessing: "true", "keys.window 1": "6" },
    "cluster.eligible": "worker2, worker3",
    "cluster.members.worker2.name": "worker2",
    "cluster.members.worker2.isConnected": "false",
    "links.initializer.to": "initializer",
    "links.initializer.waitingBytes": "0",
    "steps.0.count": "1",
  });
});

test("a long list of keys ends with how many more there are", () => {
  const keys = Array.from({ length: 1000 }, (_, key) => `key_${key}`);
  const [[name, text] = ["", ""]] = answerRows({ keys });
  expect(name).toBe("keys");
  expect(text).toMatch(/^key_0, key_1, .*key_19 and 980 more$/);
});

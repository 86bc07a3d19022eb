/** S25, one seed each: processes of a store are restarted in turn, or die in turn, and nobody waits for long. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { restartInTurn } from "./rolling.ts";

setDefaultTimeout(120_000);

const WAIT_MS_MAX = 1000;

test.each([
  ["told to stop", true, 0.3],
  ["killed", false, 0.3],
  ["told to stop on a busy host", true, 10],
])(
  "S25: processes are %s, one after the other, and no writer waits for a second",
  (_how, isGraceful, delayMeanMs) => {
    const { commits } = restartInTurn(1, WAIT_MS_MAX, { isGraceful, delayMeanMs });
    expect(commits).toBeGreaterThan(50);
  },
);

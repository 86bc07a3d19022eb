/** The settings of the runtime that a role is started again for. */
import { expect, test } from "bun:test";
import {
  restartWithRareCollections,
  withRareCollections,
} from "../../../src/core/kernel/runtime-settings.ts";

test("what is missing in the environment is added, what an operator has set stays, and a complete one is left alone", () => {
  const added = withRareCollections({ HOME: "/root", BUN_IDLE_GC_SECONDS: "5" });
  expect(added).toMatchObject({ HOME: "/root", BUN_IDLE_GC_SECONDS: "5", BUN_GC_TIMER_INTERVAL: "60000" });
  expect(withRareCollections(added ?? {})).toBeUndefined();
});

test("a checkout is not started again", () => {
  restartWithRareCollections({});
  expect(process.env.BUN_GC_TIMER_INTERVAL).toBeUndefined();
});

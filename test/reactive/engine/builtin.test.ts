/** The engine contract, asked of timestamp servers and shards, over messages in any order. */
import { setDefaultTimeout } from "bun:test";
import { engineContract } from "./contract.ts";
import { builtinRig } from "./rigs.ts";

setDefaultTimeout(120_000);

let seed = 0;
engineContract("built-in", () => builtinRig(++seed));

/**
 * Runs the contract's random programs against a store library at a path, in a process of its own because a
 * broken library may abort. `bun store-mutant.ts <library> <seed> <runs>`: exit code 0 only when every
 * program agreed.
 */
import { dlopen } from "bun:ffi";
import fc from "fast-check";
import { Store, storeSymbols } from "../../src/native/store.ts";
import { programs, runProgram } from "./store-contract.ts";

const [path, seed, numRuns] = process.argv.slice(2);
const library = dlopen(path as string, storeSymbols).symbols;
const hashSeed = Uint8Array.from({ length: 16 }, (_, index) => index * 11);
const make = () => new Store({ seed: hashSeed, library });

const result = fc.check(
  fc.property(programs, (program) => runProgram(make, program)),
  { seed: Number(seed), numRuns: Number(numRuns), endOnFailure: true },
);
console.log(result.failed ? `disagrees: ${result.errorInstance}` : `agrees in ${result.numRuns} programs`);
process.exit(result.failed ? 1 : 0);

/** Every promise of the store has a defect that breaks it, and a seed that notices. */
import { testMutants } from "../../mutants.ts";
import { storeMutants } from "./mutants.ts";

testMutants(storeMutants, ["test/reactive", "test/mutants.ts"]);

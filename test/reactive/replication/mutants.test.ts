/** Every promise of replication has a defect that breaks it, and a test that notices. */
import { testMutants } from "../../mutants.ts";
import { replicationMutants } from "./mutants.ts";

testMutants(replicationMutants, ["test/reactive", "test/mutants.ts"]);

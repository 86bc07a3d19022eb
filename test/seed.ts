/**
 * The seed of everything that tests draw at random: 1, unless NODE_X_SEED says otherwise (`random`, as `bun run soak
 * properties` does, or the number that a failure printed).
 *
 * Invariant: a commit passes or fails the same way wherever it is tested.
 */
const wanted = process.env.NODE_X_SEED ?? "1";

export const testSeed =
  wanted === "random" ? (crypto.getRandomValues(new Uint32Array(1))[0] as number) : Number(wanted);
if (wanted === "random") console.log(`NODE_X_SEED=${testSeed}`);

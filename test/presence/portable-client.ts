/** What portable.test.ts bundles for Node and for a browser: one user registers, a friend looks, in plain JavaScript. */
import { Identity, PresenceClient, type ClientOptions } from "../../src/presence/client.ts";
import { typescriptEngine } from "../../src/presence/pir/typescript-engine.ts";
import { noblePrimitives } from "../../src/presence/protocol/primitives-noble.ts";

type Servers = Pick<ClientOptions, "regServer" | "lookupServers" | "privacyLevel" | "combined">;

/** Resolves with state and status that the friend saw. `advance` begins the next epoch. */
export async function run(servers: Servers, advance: () => Promise<void>): Promise<string> {
  const client = new PresenceClient({
    ...servers,
    ...{ forcePir: true, primitives: noblePrimitives, engine: typescriptEngine },
  });
  const [ann, ben] = [Identity.generate(noblePrimitives), Identity.generate(noblePrimitives)];
  const payload = new TextEncoder().encode("sixteen bytes ok");
  const isCombined = servers.combined === true;
  if (isCombined) await client.registerCombined(ann, payload);
  else await client.register(ann, [{ friend: { publicKey: ben.publicKey }, payload }]);
  await advance();
  const friend = { publicKey: isCombined ? ann.signingPublicKey : ann.publicKey };
  const { friends } = await client.lookup(ben, [friend]);
  const [found] = friends;
  return `${found?.state}: ${new TextDecoder().decode(found?.payload)}`;
}

Object.assign(globalThis, { runPresence: run });

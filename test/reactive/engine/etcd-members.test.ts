/** An etcd of three members of which one after the other is killed under load: nothing acknowledged is lost, no change is missed. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { EtcdProcesses } from "../../e2e/etcd-processes.ts";
import { MemberLoad } from "./member-load.ts";

setDefaultTimeout(120_000);

test("a member killed under load loses nothing, and watchers miss nothing", async () => {
  using etcd = await EtcdProcesses.start({ members: 3 });
  const load = new MemberLoad(etcd);
  await load.start();
  await load.more(20);
  // The first one is whom both frontends ask and whose watches they have.
  for (const member of [0, 1]) await load.without(member, 25);
  expect(await load.finish()).toEqual([]);
});

/** Commands that repair what is known of a volume by hand. The volume must be stopped, or waiting for a copy. */
import { parseMetaState } from "../client/group/texts.ts";
import { command } from "../server/control.ts";
import { type Protocol, Refusal } from "../server/server.ts";
import type { ArchiveVolume } from "./volume.ts";

const states = ["SyncReady", "Archived", "Stopped"] as const;

export function repairCommands(
  of: (words: string[], least?: number) => ArchiveVolume,
): Record<string, Protocol> {
  const atRest = (words: string[], name: string) => {
    const volume = of(words, 2);
    volume.demandState(name, ["SyncReady", "Stopped"]);
    volume.demandNoAction(name);
    return volume;
  };
  return {
    "dbg-set-uuid": command(async (words) => {
      const volume = atRest(words, "c2aSetUuidServer");
      const text = words[1] ?? "";
      if (!/^[0-9a-f]{32}$/i.test(text)) throw new Refusal(`c2aSetUuidServer:bad uuid:${text}`);
      await volume.setUuid(Uint8Array.from(Buffer.from(text, "hex")));
    }),
    "dbg-set-state": command(async (words) => {
      const volume = atRest(words, "c2aSetStateServer");
      const state = states.find((each) => each === words[1]);
      if (state === undefined) throw new Refusal(`c2aSetStateServer:bad state:${words[1]}`);
      await volume.setState(state);
    }),
    "dbg-set-base": command(async (words) => {
      const volume = atRest(words, "c2aSetBaseServer");
      await volume.setBase(parseMetaState(words[1] ?? ""));
    }),
  };
}

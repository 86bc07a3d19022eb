/** @jsxImportSource preact */
/** Everything that happened to instances, as far back as the hub remembers. */
import { useEffect, useState } from "preact/hooks";
import type { Happening } from "../../messages.ts";
import { latest } from "../live.ts";
import { HappeningList } from "../parts/happening-list.tsx";
import { ask } from "../server.ts";

export function HappeningsPage() {
  const [found, setFound] = useState<Happening[]>([]);
  const second = Math.floor((latest.value?.hub.nowMs ?? 0) / 3000);
  useEffect(() => {
    ask<Happening[]>("/api/happenings").then(setFound, () => undefined);
  }, [second]);
  return <HappeningList of={found} />;
}

/** @jsxImportSource preact */
/** One instance: how it is, all its figures over time, what happened to it, and all that it says of itself. */
import { useEffect, useState } from "preact/hooks";
import { figuresOf } from "../../figures.ts";
import type { Happening } from "../../messages.ts";
import { bytes, compact, duration } from "../format.ts";
import { concerns, hub, rows } from "../live.ts";
import { isMirror } from "../own.ts";
import { ActionButton } from "../parts/confirm.tsx";
import { FigureCharts } from "../parts/figure-charts.tsx";
import { HappeningList } from "../parts/happening-list.tsx";
import { Condition, Facts, NONE, Section } from "../parts/small.tsx";
import { item } from "../route.ts";
import { ask } from "../server.ts";
import { ConcernList } from "./overview.tsx";

const LOOK_MS = 3000;

/** What an instance says of itself and what happened to it, asked for again and again. */
function useInstance(name: string) {
  const [found, setFound] = useState<{ own: unknown; happenings: Happening[] } | undefined>(undefined);
  useEffect(() => {
    let isGone = false;
    const look = async () => {
      const [detail, happenings] = await Promise.all([
        ask<{ own: unknown; process: unknown }>(`/api/instances/${encodeURIComponent(name)}`),
        ask<Happening[]>("/api/happenings"),
      ]);
      const own = { process: detail.process, ...(detail.own as object) };
      if (!isGone) setFound({ own, happenings: happenings.filter(({ instance }) => instance === name) });
    };
    const tryToLook = () => void look().catch(() => undefined);
    tryToLook();
    const timer = setInterval(tryToLook, LOOK_MS);
    return () => {
      isGone = true;
      clearInterval(timer);
    };
  }, [name]);
  return found;
}

function Ports({ of }: { of: Record<string, number> }) {
  const all = Object.entries(of);
  return (
    <>
      {all.length === 0 && NONE}
      {all.map(([key, port]) => (
        <div key={key}>
          {key} {port}
        </div>
      ))}
    </>
  );
}

export function InstancePage() {
  const name = item.value;
  const found = useInstance(name);
  const row = rows.value.find(({ snapshot }) => snapshot.target === name);
  if (row === undefined)
    return (
      <p class="empty">
        There is no instance {name} in this cluster. <a href="#/">All instances</a>
      </p>
    );
  const { snapshot } = row;
  const { role, host, version, commit, uptimeSeconds, rssBytes, cpuPercent, ports, throughput, keyFigure } =
    snapshot;
  const graphs = figuresOf(role)
    .filter(({ id }) => !["ready", "uptime", "files"].includes(id))
    .map(({ id }) => ({ figure: id, instances: [name] }));
  return (
    <>
      <ConcernList of={concerns.value.filter(({ instance }) => instance === name)} />
      <div class="card">
        <Facts
          of={[
            ["State", <Condition snapshot={snapshot} />],
            ["Role", role],
            ["Host", host],
            ["Holds", keyFigure === "" ? NONE : keyFigure],
            ["Activity", throughput && `${compact(throughput.perSecond)} ${throughput.unit}/s`],
            ["CPU", cpuPercent === undefined ? NONE : `${cpuPercent.toFixed(1)} %`],
            ["Memory", rssBytes === undefined ? NONE : bytes(rssBytes)],
            ["Up for", uptimeSeconds === undefined ? NONE : duration(uptimeSeconds)],
            ["Version", version === undefined ? NONE : `${version} ${(commit ?? "").slice(0, 7)}`],
            ["Restarts in a day", snapshot.restarts],
            ["Behind", snapshot.lag && <span class="badge bad">{snapshot.lag}</span>],
            ["Ports", <Ports of={ports} />],
          ]}
        />
        {hub.value?.allowsActions === true && snapshot.condition !== "unreachable" && (
          <div class="buttons">
            {isMirror(found?.own) && (
              <ActionButton
                action="promote"
                request={{ instance: name }}
                label="Promote"
                consequence={`${name} stops following its node and takes over: clients may write to it from then on.`}
              />
            )}
            <ActionButton
              action="drain"
              request={{ instance: name }}
              label="Drain"
              consequence={`${name} refuses new work and finishes what was begun. It stays so until it is started anew.`}
            />
          </div>
        )}
      </div>
      <Section title="Over time">
        <FigureCharts graphs={graphs} />
      </Section>
      <Section title="What happened">
        <HappeningList of={found?.happenings ?? []} />
      </Section>
      <Section title="All that it says">
        <details>
          <summary>Figures of the role and the process</summary>
          <pre tabIndex={0}>{JSON.stringify(found?.own ?? {}, null, 2)}</pre>
        </details>
      </Section>
    </>
  );
}

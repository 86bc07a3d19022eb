/** @jsxImportSource preact */
/** Block-volume backup: how far each volume's data is on its way from storage over proxy to archive, and what can be restored. */
import { useState } from "preact/hooks";
import type { Detail } from "../../messages.ts";
import { bytes, counted, duration, moment } from "../format.ts";
import { details, hub, latest, rows } from "../live.ts";
import { listAt, numberAt, textAt, type Own } from "../own.ts";
import { ActionButton } from "../parts/confirm.tsx";
import { FigureCharts } from "../parts/figure-charts.tsx";
import { InstanceLink, Meter, Section } from "../parts/small.tsx";
import { TimeLine } from "../parts/time-line.tsx";

interface Place {
  instance: string;
  volume: Own;
}

interface Volume {
  name: string;
  storages: Place[];
  proxies: Place[];
  archives: Place[];
}

function volumesOf(all: readonly Detail[]): Volume[] {
  const volumes = new Map<string, Volume>();
  for (const { instance, role, own } of all)
    for (const volume of listAt(own, "volumes")) {
      // A storage's volume may be backed up under another name.
      const name = textAt(volume, "backup") ?? textAt(volume, "name") ?? "";
      const known = volumes.get(name) ?? { name, storages: [], proxies: [], archives: [] };
      if (role === "storage") known.storages.push({ instance, volume });
      if (role === "proxy") known.proxies.push({ instance, volume });
      if (role === "archive") known.archives.push({ instance, volume });
      volumes.set(name, known);
    }
  return [...volumes.values()].sort((a, b) => a.name.localeCompare(b.name));
}

/** `12 s ago`; times of the backup family are whole seconds, 0 is never. */
function ago(seconds: number | undefined): string {
  if (seconds === undefined || seconds === 0) return "never";
  return `${duration(Math.max(0, (latest.value?.hub.nowMs ?? 0) / 1000 - seconds))} ago`;
}

function Step({ place, lines }: { place: Place; lines: readonly string[] }) {
  return (
    <li class="step">
      <InstanceLink name={place.instance} /> <span class="badge">{textAt(place.volume, "state")}</span>
      {lines.map((line) => (
        <div key={line} class="detail">
          {line}
        </div>
      ))}
    </li>
  );
}

function logShare(volume: Own): number | undefined {
  const used = numberAt(volume, "logUsedBytes");
  const capacity = numberAt(volume, "logBytes");
  return used === undefined || capacity === undefined || capacity === 0 ? undefined : used / capacity;
}

function storageLines({ volume }: Place): string[] {
  const [used, lag] = [numberAt(volume, "logUsedBytes"), numberAt(volume, "lagSeconds")];
  return [
    counted(numberAt(volume, "writes") ?? 0, "write"),
    ...(used === undefined ? [] : [`${bytes(used)} of log not shipped`]),
    ...(lag === undefined ? [] : [`archive ${duration(lag)} behind`]),
    ...["shipError", "failure", "stalled"].flatMap((key) => textAt(volume, key) ?? []),
    ...(numberAt(volume, "isOverflow") === 1 ? ["the log has overflowed"] : []),
  ];
}

function proxyLines({ volume }: Place): string[] {
  const waiting = listAt(volume, "archives").map(
    (archive) =>
      `for ${textAt(archive, "name")}: ${counted(numberAt(archive, "diffs") ?? 0, "diff")} waiting, ${bytes(numberAt(archive, "bytes") ?? 0)}` +
      (numberAt(archive, "hasGivenUp") === 1 ? ", given up" : ""),
  );
  return [`received ${ago(numberAt(volume, "lastReceivedTime"))}`, ...waiting];
}

function archiveLines({ volume }: Place): string[] {
  return [
    `newest point ${ago(numberAt(volume, "newestTime"))}`,
    `${counted(numberAt(volume, "diffs") ?? 0, "diff")}, ${bytes(numberAt(volume, "diffBytes") ?? 0)}`,
  ];
}

/** Where a volume's data is, from left to right: its storage, what hands it on, where it is kept. */
function Way({ volume: { storages, proxies, archives } }: { volume: Volume }) {
  const stages = [
    { places: storages, linesOf: storageLines },
    { places: proxies, linesOf: proxyLines },
    { places: archives, linesOf: archiveLines },
  ].filter(({ places }) => places.length > 0);
  return (
    <div class="flow">
      {stages.map(({ places, linesOf }, index) => (
        <ul key={index} class="stage">
          {places.map((place) => (
            <Step key={place.instance} place={place} lines={linesOf(place)} />
          ))}
        </ul>
      ))}
    </div>
  );
}

/** Points that can be restored, and the command that does it. */
function Restore({ name, place }: { name: string; place: Place }) {
  const [chosen, setChosen] = useState<string | undefined>(undefined);
  const points = listAt(place.volume, "restorable").map((point) => ({
    id: textAt(point, "gid") ?? "",
    atMs: (numberAt(point, "time") ?? 0) * 1000,
    isKept: numberAt(point, "isKept") === 1,
  }));
  if (points.length === 0) return <p class="muted small">No restorable point yet.</p>;
  const gid = chosen ?? (points.at(-1)?.id as string);
  const { snapshot } = rows.value.find((row) => row.snapshot.target === place.instance) ?? {};
  const command = `node-x walb restore -a ${snapshot?.host === undefined || snapshot.host === "localhost" ? "127.0.0.1" : snapshot.host} -p ${snapshot?.ports.port ?? 13020} ${name} ${gid}`;
  return (
    <div class="stacked close">
      <h3>Restorable points</h3>
      <TimeLine
        label={`${counted(points.length, "restorable point")} of ${name}`}
        points={points.map((point) => ({
          ...point,
          isChosen: point.id === gid,
          text: `gid ${point.id}, ${moment(point.atMs)}`,
        }))}
        onChoose={setChosen}
      />
      <p class="small">
        To make an image of {name} as it was at{" "}
        <strong>{moment(points.find(({ id }) => id === gid)?.atMs ?? 0)}</strong>:
      </p>
      <pre tabIndex={0}>
        <code>{command}</code>
      </pre>
      <div>
        <button type="button" onClick={() => void navigator.clipboard?.writeText(command)}>
          Copy
        </button>
      </div>
    </div>
  );
}

function VolumeCard({ volume }: { volume: Volume }) {
  const { name, storages, archives } = volume;
  const usage = storages.map(({ volume: own }) => logShare(own)).find((share) => share !== undefined);
  const [storage] = storages;
  return (
    <Section title={name}>
      <div class="card stacked">
        <Way volume={volume} />
        {usage !== undefined && (
          <Meter
            share={usage}
            text={`log ${Math.round(100 * usage)} % full`}
            label="The log is full by"
            isLimit
          />
        )}
        {archives.map((place) => (
          <Restore key={place.instance} name={name} place={place} />
        ))}
        {storage !== undefined && hub.value?.allowsActions === true && (
          <div class="buttons">
            <ActionButton
              action="snapshot"
              request={{ instance: storage.instance, volume: name }}
              label="Snapshot"
              isHarmless
              consequence={`${name} gets a point at which it can be restored.`}
            />
          </div>
        )}
      </div>
    </Section>
  );
}

export function BackupPage() {
  const all = details.value;
  const volumes = volumesOf(all);
  const namesOf = (role: string) => all.filter((each) => each.role === role).map(({ instance }) => instance);
  return (
    <>
      {volumes.length === 0 && <p class="empty">No volumes yet: `node-x walb init-vol` makes one.</p>}
      {volumes.map((volume) => (
        <VolumeCard key={volume.name} volume={volume} />
      ))}
      <Section title="Over time">
        <FigureCharts
          graphs={[
            { figure: "storage.writes", instances: namesOf("storage") },
            { figure: "storage.log", instances: namesOf("storage") },
            { figure: "proxy.waiting", instances: namesOf("proxy") },
            { figure: "proxy.diffs", instances: namesOf("proxy") },
            { figure: "archive.bytes", instances: namesOf("archive") },
            { figure: "archive.diffs", instances: namesOf("archive") },
            { figure: "archive.bucketLag", instances: namesOf("archive") },
          ]}
        />
      </Section>
    </>
  );
}

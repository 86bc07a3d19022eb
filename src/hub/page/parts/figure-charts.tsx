/** @jsxImportSource preact */
/** Graphs of figures from the table: one for each figure, with a line for each instance. */
import { useMemo } from "preact/hooks";
import { figures, type Figure } from "../../figures.ts";
import { useLines, type Lines, type WantedLine } from "../lines.ts";
import { Chart } from "./chart.tsx";

export interface Graph {
  figure: string;
  /** Instead of the figure's own. */
  title?: string;
  instances: readonly string[];
}

const byId = new Map(figures.map((figure) => [figure.id, figure]));
/** The hub answers about a bounded number of lines at once. */
const INSTANCES_MAX = 24;

/** The part of a name that tells it from its neighbours: `dht0` of `local.dht0`. */
export function shortName(instance: string): string {
  return (
    instance
      .split("/")
      .at(-1)
      ?.replace(/^[^.]+\./, "") ?? instance
  );
}

export function FigureCharts({ graphs, isWide = false }: { graphs: readonly Graph[]; isWide?: boolean }) {
  const shown = graphs
    .map((graph) => ({
      ...graph,
      instances: graph.instances.slice(0, INSTANCES_MAX),
      others: Math.max(0, graph.instances.length - INSTANCES_MAX),
    }))
    .filter(({ figure, instances }) => byId.has(figure) && instances.length > 0);
  const wanted: WantedLine[] = shown.flatMap(({ figure, instances }) =>
    instances.map((instance) => ({ instance, figure })),
  );
  const lines = useLines(wanted);
  const what = shown
    .map(({ figure, title, instances, others }) => [figure, title, others, ...instances].join(" "))
    .join("\n");
  return useMemo(() => <Charts of={shown} lines={lines} isWide={isWide} />, [what, lines, isWide]);
}

interface ChartsProps {
  of: readonly (Graph & { others: number })[];
  lines: Lines;
  isWide: boolean;
}

function Charts({ of: shown, lines, isWide }: ChartsProps) {
  return (
    <div class={`grid ${isWide ? "wide" : ""}`}>
      {shown.map(({ figure: id, title, instances, others }) => {
        const { unit, kind, title: ownTitle } = byId.get(id) as Figure;
        return (
          <Chart
            key={id}
            title={title ?? ownTitle}
            unit={unit}
            isRate={kind === "counter" && unit !== "percent"}
            window={lines.window}
            others={others}
            lines={instances.map((instance) => ({
              label: shortName(instance),
              line: lines.of(instance, id),
            }))}
            {...(unit === "ratio" && { top: 1 })}
          />
        );
      })}
    </div>
  );
}

import type { ResponseEvent } from '../../live/events';
import { readDataValue } from './dataValue';

export interface PlotSeries {
  readonly id: string;
  readonly label: string;
  readonly unit: string;
  /** Seconds since the first answer. */
  readonly seconds: readonly number[];
  readonly values: readonly number[];
  readonly latest: number;
}

interface Collected {
  id: string;
  label: string;
  unit: string;
  points: [second: number, value: number][];
}

/** The numbers of a data stream, one series per data identifier, each with at most `mostPoints`. */
export function plotSeries(answers: readonly ResponseEvent[], mostPoints: number): PlotSeries[] {
  const collected = new Map<string, Collected>();
  const start = Date.parse(answers[0]?.receivedAt ?? '');
  for (const { body, receivedAt } of answers) {
    const data = readDataValue(body);
    const second = (Date.parse(receivedAt) - start) / 1000;
    if (data?.number === undefined || Number.isNaN(second)) continue;
    const series = collected.get(data.id) ?? { id: data.id, label: data.name || data.id, unit: data.unit, points: [] };
    collected.set(data.id, series);
    series.points.push([second, data.number]);
  }
  return [...collected.values()].map((series) => toPlot(series, mostPoints));
}

function toPlot({ id, label, unit, points }: Collected, mostPoints: number): PlotSeries {
  const kept = thinOut(points, mostPoints);
  return {
    id,
    label,
    unit,
    seconds: kept.map(([second]) => second),
    values: kept.map(([, value]) => value),
    latest: points.at(-1)?.[1] ?? NaN,
  };
}

/** Keeps the lowest and the highest of each stretch, so that no peak is lost. */
function thinOut(points: readonly [number, number][], most: number): readonly [number, number][] {
  if (points.length <= most) return points;
  const stretch = Math.ceil((points.length * 2) / most);
  const kept: [number, number][] = [];
  for (let begin = 0; begin < points.length; begin += stretch) {
    const part = points.slice(begin, begin + stretch);
    const lowest = part.reduce((a, b) => (b[1] < a[1] ? b : a));
    const highest = part.reduce((a, b) => (b[1] > a[1] ? b : a));
    kept.push(...(lowest === highest ? [lowest] : [lowest, highest].sort((a, b) => a[0] - b[0])));
  }
  return kept;
}

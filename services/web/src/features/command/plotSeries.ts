import type { ResponseEvent } from '../../live/events';
import { readDataValue, type DataValue } from './dataValue';

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
    const value = data && plottable(data);
    const second = (Date.parse(receivedAt) - start) / 1000;
    if (data === undefined || value === undefined || Number.isNaN(second)) continue;
    const unit = data.number === undefined ? 'raw' : data.unit;
    const series = collected.get(data.id) ?? { id: data.id, label: data.name || data.id, unit, points: [] };
    collected.set(data.id, series);
    series.points.push([second, value]);
  }
  return [...collected.values()].map((series) => toPlot(series, mostPoints));
}

/** The value or, where nobody has said what the bytes mean, these as an unsigned number. */
function plottable({ number, text, raw }: DataValue): number | undefined {
  if (number !== undefined || text !== '') return number;
  return /^0x([0-9A-Fa-f]{2}){1,6}$/.test(raw) ? Number(raw) : undefined;
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

/** How long a page's tasks take and how much it holds, as Chromium tells. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Page } from 'playwright-core';

interface TraceEvent {
  name: string;
  ph: string;
  pid: number;
  tid: number;
  dur?: number;
  tdur?: number;
  args?: { name?: string };
}

export interface Task {
  /** Milliseconds from its begin to its end. */
  wall: number;
  /** Milliseconds of processor time. */
  cpu: number;
}

export const TASKS = ['toplevel', '__metadata'];

/** The longest tasks of the page's main thread, from a trace of the categories above. */
export function longestTask(trace: Buffer): Task {
  const { traceEvents: events } = JSON.parse(trace.toString()) as { traceEvents: TraceEvent[] };
  const thread = ({ pid, tid }: TraceEvent) => `${pid}/${tid}`;
  const mains = new Set(events.filter((event) => event.args?.name === 'CrRendererMain').map(thread));
  const tasks = events.filter(
    (event) => event.ph === 'X' && event.name.endsWith('RunTask') && mains.has(thread(event)),
  );
  if (tasks.length === 0) throw new Error('the trace has no tasks of the page');
  return {
    wall: Math.max(...tasks.map(({ dur }) => (dur ?? NaN) / 1000)),
    cpu: Math.max(...tasks.map(({ tdur }) => (tdur ?? NaN) / 1000)),
  };
}

export interface Weight {
  heapBytes: number;
  nodes: number;
  listeners: number;
}

/** What the page holds once everything that nobody needs is gone. */
export async function weigh(page: Page): Promise<Weight> {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('Performance.enable');
  // What the first round lets go of may have held what the second finds.
  await cdp.send('HeapProfiler.collectGarbage');
  await cdp.send('HeapProfiler.collectGarbage');
  const { metrics } = await cdp.send('Performance.getMetrics');
  await cdp.detach();
  const valueOf = (name: string) => metrics.find((metric) => metric.name === name)?.value ?? NaN;
  return {
    heapBytes: valueOf('JSHeapUsedSize'),
    nodes: valueOf('Nodes'),
    listeners: valueOf('JSEventListeners'),
  };
}

/** Once the page is drawn: what still loads would count as growth later. */
export async function weighAtRest(page: Page): Promise<Weight> {
  let weight: Weight;
  let next = await weigh(page);
  do {
    weight = next;
    await delay(500);
    next = await weigh(page);
  } while (next.nodes !== weight.nodes);
  return next;
}

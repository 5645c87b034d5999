import { useTheme } from '@mui/material/styles';
import { BarChart } from '@mui/x-charts/BarChart';
import { memo, startTransition, useEffect, useRef, useState } from 'react';
import { statusLabel } from '../../components/CommandStatus';
import type { Summary } from './queries';

type Buckets = Summary['buckets'];

const OUTCOMES = ['completed', 'failed', 'timed_out', 'expired', 'cancelled'] as const;
const HOUR = new Intl.DateTimeFormat(undefined, { hour: 'numeric' });

/** What the legend adds to the height of the plot, as long as it stands in one line. */
const LEGEND_HEIGHT = 29;

/** Outcomes by hour, stacked, as wide as there is place. */
export function OutcomeChart({ buckets, height }: { buckets: Buckets; height: number }) {
  const place = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState<number>();
  useEffect(() => {
    // A chart that measures for itself draws all of itself at once: a task too long for a page that is being opened.
    const observer = new ResizeObserver(([entry]) => {
      if (entry !== undefined) startTransition(() => setWidth(Math.floor(entry.contentRect.width)));
    });
    if (place.current !== null) observer.observe(place.current);
    return () => observer.disconnect();
  }, []);
  return (
    <div ref={place}>
      {width !== undefined && <Bars buckets={buckets} width={width} height={height - LEGEND_HEIGHT} />}
    </div>
  );
}

interface BarsProps {
  buckets: Buckets;
  width: number;
  height: number;
}

const Bars = memo(function Bars({ buckets, width, height }: BarsProps) {
  const { palette } = useTheme().vars;
  const colors = {
    completed: palette.success.main,
    failed: palette.error.main,
    timed_out: palette.warning.main,
    expired: palette.info.main,
    cancelled: palette.text.secondary,
  };
  return (
    <BarChart
      skipAnimation
      width={width}
      height={height}
      // A picture to those who do not see it: there is nothing in it for the keyboard to be lost in.
      disableKeyboardNavigation
      xAxis={[{ data: buckets.map(({ start }) => HOUR.format(new Date(start))), scaleType: 'band' }]}
      yAxis={[{ width: 40, tickMinStep: 1 }]}
      series={OUTCOMES.map((outcome) => ({
        data: buckets.map((bucket) => bucket[outcome]),
        label: statusLabel(outcome),
        color: colors[outcome],
        stack: 'outcome',
      }))}
      margin={{ left: 0, right: 8, top: 8, bottom: 0 }}
    />
  );
});

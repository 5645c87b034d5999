import Box from '@mui/material/Box';
import Typography from '@mui/material/Typography';
import { useTheme } from '@mui/material/styles';
import { LineChart } from '@mui/x-charts/LineChart';
import { memo, startTransition, useEffect, useState } from 'react';
import type { ResponseEvent } from '../../live/events';
import { plotSeries, type PlotSeries } from './plotSeries';

const MOST_POINTS = 200;
/** A plot is drawn again so often while its stream runs, and once at the end. */
const REDRAW_MS = 1_000;

interface StreamPlotsProps {
  answers: readonly ResponseEvent[];
  count: number;
  ended: boolean;
}

/** A plot per data identifier. */
export function StreamPlots({ answers, count, ended }: StreamPlotsProps) {
  const series = useThrottledSeries(answers, count, ended);
  if (series.length === 0) return null;
  return (
    <Box
      sx={{
        p: 2,
        borderBottom: 1,
        borderColor: 'divider',
        display: 'grid',
        gap: 2,
        gridTemplateColumns: 'repeat(auto-fit, minmax(320px, 1fr))',
      }}
    >
      {series.map((each) => (
        <Plot key={each.id} series={each} />
      ))}
    </Box>
  );
}

function useThrottledSeries(answers: readonly ResponseEvent[], count: number, ended: boolean): PlotSeries[] {
  const [series, setSeries] = useState<PlotSeries[]>([]);
  useEffect(() => {
    // Drawing gives way to everything else.
    const draw = () => startTransition(() => setSeries(plotSeries(answers, MOST_POINTS)));
    draw();
    if (ended) return undefined;
    const timer = setInterval(draw, REDRAW_MS);
    return () => clearInterval(timer);
  }, [answers, ended]);
  return count === 0 ? [] : series;
}

const Plot = memo(function Plot({ series }: { series: PlotSeries }) {
  const { label, id, unit, latest } = series;
  const { palette } = useTheme().vars;
  return (
    <Box component="figure" sx={{ m: 0, minWidth: 0 }}>
      <Typography component="figcaption" variant="body2">
        {label} {label !== id && id}: <strong>{latest}</strong> {unit}
      </Typography>
      <div role="img" aria-label={`${label} over time, now ${latest} ${unit}`}>
        <LineChart
          height={180}
          skipAnimation
          // A picture to those who do not see it: there is nothing in it for the keyboard to be lost in.
          disableKeyboardNavigation
          hideLegend
          margin={{ left: 0, right: 8, top: 8, bottom: 0 }}
          xAxis={[{ data: [...series.seconds], scaleType: 'linear', valueFormatter: formatSecond }]}
          yAxis={[{ width: 48, domainLimit: withRoom }]}
          series={[{ data: [...series.values], label, showMark: false, curve: 'linear', color: palette.primary.main }]}
        />
      </div>
    </Box>
  );
});

interface NumberLike {
  valueOf(): number;
}

/** A level line is not to lie on the axis. */
function withRoom(min: NumberLike, max: NumberLike) {
  const [low, high] = [Number(min), Number(max)];
  const room = (high - low) * 0.08 || Math.max(1, Math.abs(high) * 0.08);
  return { min: low - room, max: high + room };
}

function formatSecond(second: number): string {
  return `${Number(second.toFixed(1))} s`;
}

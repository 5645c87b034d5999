import { useTheme } from '@mui/material/styles';
import { BarChart } from '@mui/x-charts/BarChart';
import { memo } from 'react';
import { statusLabel } from '../../components/CommandStatus';
import type { Summary } from './queries';

type Buckets = Summary['buckets'];

const OUTCOMES = ['completed', 'failed', 'timed_out', 'expired', 'cancelled'] as const;
const HOUR = new Intl.DateTimeFormat(undefined, { hour: 'numeric' });

/** Outcomes by hour, stacked. */
export const OutcomeChart = memo(function OutcomeChart({ buckets }: { buckets: Buckets }) {
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

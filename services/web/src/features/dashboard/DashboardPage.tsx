import Box from '@mui/material/Box';
import Button from '@mui/material/Button';
import Stack from '@mui/material/Stack';
import { useQuery } from '@tanstack/react-query';
import { lazy, Suspense } from 'react';
import { Link as RouterLink } from 'react-router';
import { PageHeader } from '../../components/PageHeader';
import { Section } from '../../components/Section';
import { EmptyState, Loaded, LoadingLines } from '../../components/states';
import { useMay } from '../../session/useSession';
import { CommandTable } from '../commands/CommandTable';
import { commandsQuery } from '../commands/queries';
import { summaryQuery, type Summary } from './queries';
import { NumbersLoading, SummaryNumbers } from './SummaryNumbers';

const OutcomeChart = lazy(async () => ({ default: (await import('./OutcomeChart')).OutcomeChart }));

const LATEST = 8;
const CHART_TITLE = 'Commands of the last 24 hours, by outcome';
const CHART_HEIGHT = 248;

export function DashboardPage() {
  const summary = useQuery(summaryQuery);
  return (
    <>
      <PageHeader title="Dashboard" actions={<NewCommandButton />} />
      <Stack sx={{ gap: 2.5 }}>
        {summary.data === undefined && summary.error === null ? (
          <SummaryLoading />
        ) : (
          <Loaded query={summary}>{(data) => <SummaryView summary={data} />}</Loaded>
        )}
        <LatestCommands />
      </Stack>
    </>
  );
}

function NewCommandButton() {
  if (!useMay('engineer')) return null;
  return (
    <Button component={RouterLink} to="/commands/new" variant="contained">
      New command
    </Button>
  );
}

function SummaryView({ summary }: { summary: Summary }) {
  return (
    <>
      <SummaryNumbers summary={summary} />
      <Section title={CHART_TITLE}>
        <Box
          role="img"
          aria-label="Commands by hour and outcome, as a bar chart"
          sx={{ m: 2, minHeight: CHART_HEIGHT }}
        >
          <Suspense fallback={<LoadingLines lines={4} />}>
            <OutcomeChart buckets={summary.buckets} height={CHART_HEIGHT} />
          </Suspense>
        </Box>
      </Section>
    </>
  );
}

function SummaryLoading() {
  return (
    <>
      <NumbersLoading />
      <Section title={CHART_TITLE}>
        <Box sx={{ m: 2, height: CHART_HEIGHT }}>
          <LoadingLines lines={4} />
        </Box>
      </Section>
    </>
  );
}

function LatestCommands() {
  const query = useQuery(commandsQuery({ limit: LATEST }));
  return (
    <Section
      title="Latest commands"
      actions={
        <Button component={RouterLink} to="/commands" size="small">
          History
        </Button>
      }
    >
      <Loaded query={query}>
        {({ items }) =>
          items.length === 0 ? (
            <EmptyState title="No commands yet">
              Send one: reading a fault memory changes nothing on the vehicle.
            </EmptyState>
          ) : (
            <CommandTable commands={items} label="Table of the latest commands" />
          )
        }
      </Loaded>
    </Section>
  );
}

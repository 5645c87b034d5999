/** What stands where content would be: something went wrong, nothing is there, it is not there yet. */
import Alert from '@mui/material/Alert';
import Box from '@mui/material/Box';
import Button from '@mui/material/Button';
import Skeleton from '@mui/material/Skeleton';
import Typography from '@mui/material/Typography';
import type { ReactNode } from 'react';
import { ApiProblem, describeProblem, OddAnswer } from '../api/problem';
import { Understood } from './Understood';

export function ErrorState({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const code = error instanceof ApiProblem ? error.code : undefined;
  return (
    <Alert
      severity="error"
      sx={{ m: 2 }}
      action={
        onRetry !== undefined && (
          <Button color="inherit" size="small" onClick={onRetry}>
            Try again
          </Button>
        )
      }
    >
      {describeProblem(error)}
      {code !== undefined && (
        <Typography variant="caption" component="div">
          {code}
          {error instanceof ApiProblem && error.traceId !== undefined && ` · trace ${error.traceId}`}
        </Typography>
      )}
    </Alert>
  );
}

export function EmptyState({ title, children, action }: { title: string; children?: ReactNode; action?: ReactNode }) {
  return (
    <Box sx={{ py: 6, px: 3, textAlign: 'center' }}>
      <Typography variant="h3" component="p" gutterBottom>
        {title}
      </Typography>
      {children !== undefined && (
        <Typography color="textSecondary" variant="body2">
          {children}
        </Typography>
      )}
      {action !== undefined && <Box sx={{ mt: 2 }}>{action}</Box>}
    </Box>
  );
}

export function LoadingLines({ lines = 5 }: { lines?: number }) {
  return (
    <Box role="status" aria-label="Loading" sx={{ p: 2 }}>
      {Array.from({ length: lines }, (_, line) => (
        <Skeleton key={line} height={36} />
      ))}
    </Box>
  );
}

interface QueryLike<Data> {
  data: Data | undefined;
  error: unknown;
  refetch: () => unknown;
}

/** The content, once it is there; a refresh that fails leaves what was there. */
export function Loaded<Data>({
  query,
  lines,
  children,
}: {
  query: QueryLike<Data>;
  lines?: number;
  children: (data: Data) => ReactNode;
}) {
  const retry = () => void query.refetch();
  if (query.data !== undefined) {
    return (
      <Understood answer={query.data} otherwise={<ErrorState error={new OddAnswer()} onRetry={retry} />}>
        <Shown data={query.data}>{children}</Shown>
      </Understood>
    );
  }
  if (query.error !== null) return <ErrorState error={query.error} onRetry={retry} />;
  return <LoadingLines lines={lines} />;
}

function Shown<Data>({ data, children }: { data: Data; children: (data: Data) => ReactNode }) {
  return children(data);
}

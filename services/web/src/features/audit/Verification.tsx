import Alert from '@mui/material/Alert';
import Button from '@mui/material/Button';
import { useQuery } from '@tanstack/react-query';
import { describeProblem, sentence } from '../../api/problem';
import { Time } from '../../components/Time';
import { verificationQuery } from './queries';

/** Whether the chain of hashes is intact, checked from its beginning. */
export function Verification() {
  const { data, error, isFetching, refetch, dataUpdatedAt } = useQuery(verificationQuery);
  const again = (
    <Button color="inherit" size="small" loading={isFetching} onClick={() => void refetch()}>
      Verify again
    </Button>
  );
  if (error !== null && !isFetching) {
    return (
      <Alert severity="warning" action={again}>
        The chain could not be verified. {describeProblem(error)}
      </Alert>
    );
  }
  if (data === undefined) return <Alert severity="info">Verifying the chain…</Alert>;
  const { intact, sealed, unsealed, broken_at: brokenAt, reason } = data;
  return (
    <Alert severity={intact ? 'success' : 'error'} action={again}>
      {intact
        ? `The chain is intact: ${sealed.toLocaleString()} entries verified, ${unsealed.toLocaleString()} not yet in it.`
        : `The chain is broken at entry ${brokenAt ?? '?'}. ${sentence(reason ?? 'The entry is not what its hash says')}`}{' '}
      Checked <Time at={new Date(dataUpdatedAt).toISOString()} />.
    </Alert>
  );
}

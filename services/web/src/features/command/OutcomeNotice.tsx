import Alert from '@mui/material/Alert';
import AlertTitle from '@mui/material/AlertTitle';
import Typography from '@mui/material/Typography';
import { sentence } from '../../api/problem';
import { Code } from '../../components/Code';
import { statusLabel } from '../../components/CommandStatus';
import type { CommandState } from './currentState';

/** What an error code means for whoever looks at the vehicle. */
const MEANINGS: Readonly<Record<string, string>> = {
  OUTCOME_UNKNOWN:
    'The vehicle had the command and fell silent. It may or may not have carried it out; look at the vehicle before sending it again.',
  EXPIRED_OFFLINE: 'The vehicle did not come back in time. It never got the command.',
  EXPIRED_STARVED: 'Other commands for this ECU went first until this one expired. The vehicle never got it.',
  EXPIRED_LOCKED: 'Somebody else had locked the vehicle. It never got the command.',
  VEHICLE_TIMEOUT: 'The vehicle was reached, but did not answer in time.',
  PRECONDITION_FAILED: 'The vehicle is not as it must be for this command. It never got it.',
  PRECONDITION_UNKNOWN:
    'Whether the vehicle is as it must be for this command could not be found out. It never got it.',
  NEGATIVE_RESPONSE: 'The ECU refused.',
};

export function OutcomeNotice({ state }: { state: CommandState }) {
  if (state.progress !== undefined) {
    return <Alert severity="info">The ECU asks for patience ({state.progress}); its answer is still awaited.</Alert>;
  }
  if (!state.ended) return state.cancelOutcome === 'requested' ? <CancelRequested /> : null;
  if (state.status === 'completed') return state.cancelOutcome === undefined ? null : <CancelledTooLate />;
  if (state.status === 'cancelled') return <Cancelled outcome={state.cancelOutcome} />;
  return (
    <Alert severity={state.status === 'failed' ? 'error' : 'warning'}>
      <AlertTitle>
        {statusLabel(state.status)}
        {state.errorCode !== undefined && `: ${state.errorCode}`}
      </AlertTitle>
      {[MEANINGS[state.errorCode ?? ''], state.errorMessage && sentence(state.errorMessage)].filter(Boolean).join(' ')}
      {state.nrc !== undefined && state.errorMessage?.includes(state.nrc) !== true && (
        <Typography variant="body2" sx={{ mt: 0.5 }}>
          Negative response <Code>{state.nrc}</Code> {state.nrcName}
        </Typography>
      )}
      {state.cancelOutcome !== undefined && (
        <Typography variant="body2" sx={{ mt: 0.5 }}>
          A cancel was asked for; this is what came of it.
        </Typography>
      )}
    </Alert>
  );
}

function CancelRequested() {
  return <Alert severity="info">The vehicle is asked to stop. What comes of it is shown here.</Alert>;
}

function CancelledTooLate() {
  return <Alert severity="info">A cancel was asked for, but the command completed.</Alert>;
}

function Cancelled({ outcome }: { outcome: string | undefined }) {
  return (
    <Alert severity="info">
      {outcome === 'prevented'
        ? 'Cancelled before it reached the vehicle. Nothing was done there.'
        : 'Cancelled after it had reached the vehicle. What the vehicle answered until then is below.'}
    </Alert>
  );
}

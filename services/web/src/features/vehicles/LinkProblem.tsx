import Alert from '@mui/material/Alert';
import Tooltip from '@mui/material/Tooltip';
import Typography from '@mui/material/Typography';
import { sentence } from '../../api/problem';
import type { Vehicle } from '../../api/client';
import { Time } from '../../components/Time';

/** On the vehicle's page: why it is not reached, and since when that is so. */
export function LinkProblemNotice({ vehicle }: { vehicle: Vehicle }) {
  const { problem } = vehicle.link;
  if (problem === null) return null;
  return (
    <Alert severity="warning">
      The vehicle has not been reached since <Time at={problem.since} />. {sentence(problem.reason)}
    </Alert>
  );
}

/** The same in a list, in one line; whole on hover. */
export function LinkProblemLine({ vehicle }: { vehicle: Vehicle }) {
  const { problem } = vehicle.link;
  if (problem === null) return null;
  return (
    <Tooltip title={problem.reason}>
      <Typography variant="caption" color="textSecondary" component="div" noWrap sx={{ maxWidth: 220 }}>
        {problem.reason}
      </Typography>
    </Tooltip>
  );
}

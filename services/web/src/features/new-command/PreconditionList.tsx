import Typography from '@mui/material/Typography';
import type { CommandType } from '../../api/client';
import type { Params } from './schemaValidator';

const COMPARISONS: Readonly<Record<string, string>> = {
  '=': '',
  '!=': 'not ',
  '<': 'less than ',
  '<=': 'at most ',
  '>': 'more than ',
  '>=': 'at least ',
};

/** What is read right before a vehicle gets this command, and must hold; a deployment may exempt some vehicles. */
export function PreconditionList({ type, params }: { type: CommandType; params: Params }) {
  const asked = type.preconditions.filter(({ when }) =>
    Object.entries(when).every(([name, value]) => params[name] === value),
  );
  if (asked.length === 0) return null;
  const texts = asked.map(({ name, comparison, value, unit }) =>
    `${name} must be ${COMPARISONS[comparison]}${value} ${unit}`.trim(),
  );
  return (
    <Typography variant="body2" color="textSecondary">
      Looked at right before the vehicle gets it, unless it is exempt: {texts.join('; ')}. Otherwise it is refused.
    </Typography>
  );
}

import Stack from '@mui/material/Stack';
import Typography from '@mui/material/Typography';
import type { CommandType, Vehicle } from '../../api/client';
import { Code } from '../../components/Code';
import { ConfirmDialog } from '../../components/ConfirmDialog';
import { describeParams } from '../commands/describeParams';
import { effectOf } from './effects';
import type { Params } from './schemaValidator';

interface SubmitConfirmationProps {
  open: boolean;
  type: CommandType;
  vehicle: Vehicle;
  params: Params;
  onConfirm: () => void;
  onClose: () => void;
}

/** Before a command that reaches the vehicle at most once: which vehicle, what is done, what cannot be undone. */
export function SubmitConfirmation({ open, type, vehicle, params, onConfirm, onClose }: SubmitConfirmationProps) {
  return (
    <ConfirmDialog
      open={open}
      title={`Send ${type.name}?`}
      confirm={`Send ${type.name}`}
      color="warning"
      onConfirm={onConfirm}
      onClose={onClose}
    >
      <Stack sx={{ gap: 1.5 }}>
        <Typography>
          To{' '}
          <strong>
            {vehicle.make} {vehicle.model}
          </strong>{' '}
          <Code>{vehicle.vin}</Code>
          <br />
          <Typography component="span" variant="body2" color="textSecondary">
            {describeParams(params, vehicle.ecus)}
          </Typography>
        </Typography>
        <Typography>{effectOf(type)}</Typography>
        <Typography variant="body2" color="textSecondary">
          It is sent once and never repeated. If the vehicle falls silent while it runs, the outcome stays unknown.
        </Typography>
      </Stack>
    </ConfirmDialog>
  );
}

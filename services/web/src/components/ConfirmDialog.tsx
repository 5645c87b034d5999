import Alert from '@mui/material/Alert';
import Button, { type ButtonProps } from '@mui/material/Button';
import Dialog from '@mui/material/Dialog';
import DialogActions from '@mui/material/DialogActions';
import DialogContent from '@mui/material/DialogContent';
import DialogTitle from '@mui/material/DialogTitle';
import { useId, type ReactNode } from 'react';
import { describeProblem } from '../api/problem';

interface ConfirmDialogProps {
  open: boolean;
  title: string;
  confirm: string;
  color?: ButtonProps['color'];
  busy?: boolean;
  error?: unknown;
  onConfirm: () => void;
  onClose: () => void;
  children: ReactNode;
}

/** The focus begins at the confirmation, except of a warning: a held Enter key, which repeats, must not confirm it. */
export function ConfirmDialog({
  open,
  title,
  confirm,
  color = 'primary',
  busy,
  error,
  onConfirm,
  onClose,
  children,
}: ConfirmDialogProps) {
  const id = useId();
  const warns = color === 'warning';
  return (
    <Dialog open={open} onClose={onClose} aria-labelledby={id} maxWidth="sm" fullWidth>
      <DialogTitle id={id}>{title}</DialogTitle>
      <DialogContent>
        {children}
        {error !== undefined && error !== null && (
          <Alert severity="error" sx={{ mt: 2 }}>
            {describeProblem(error)}
          </Alert>
        )}
      </DialogContent>
      <DialogActions>
        <Button onClick={onClose} color="inherit" autoFocus={warns}>
          Not now
        </Button>
        <Button onClick={onConfirm} variant="contained" color={color} loading={busy} autoFocus={!warns}>
          {confirm}
        </Button>
      </DialogActions>
    </Dialog>
  );
}

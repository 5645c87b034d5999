import Alert from '@mui/material/Alert';
import Stack from '@mui/material/Stack';
import { useEffect, useSyncExternalStore } from 'react';
import { dismissToast, toasts, type Toast } from './toast';

const SHOWN_MS = 6_000;

export function Toasts() {
  const shown = useSyncExternalStore(toasts.subscribe, toasts.get);
  return (
    <Stack
      role="region"
      aria-label="Messages"
      aria-live="polite"
      sx={{ position: 'fixed', bottom: 16, right: 16, zIndex: 'snackbar', gap: 1, maxWidth: 'min(440px, 92vw)' }}
    >
      {shown.map((toast) => (
        <ToastView key={toast.id} toast={toast} />
      ))}
    </Stack>
  );
}

function ToastView({ toast }: { toast: Toast }) {
  const { id, severity, text } = toast;
  useEffect(() => {
    // A problem stays until it has been read.
    if (severity === 'error') return undefined;
    const timer = setTimeout(() => dismissToast(id), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [id, severity]);
  return (
    <Alert severity={severity} variant="standard" elevation={6} onClose={() => dismissToast(id)}>
      {text}
    </Alert>
  );
}

import CopyIcon from '@mui/icons-material/ContentCopyOutlined';
import IconButton from '@mui/material/IconButton';
import Tooltip from '@mui/material/Tooltip';
import { toast } from './toast';

/** Copies a text; where the browser does not allow it (no https), says so. */
export async function copyText(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    toast('success', `${what} copied.`);
  } catch {
    toast('warning', 'The browser does not let this page copy; select the text and copy it by keyboard.');
  }
}

export function CopyButton({ text, what }: { text: string; what: string }) {
  return (
    <Tooltip title={`Copy ${what.toLowerCase()}`}>
      <IconButton size="small" aria-label={`Copy ${what.toLowerCase()}`} onClick={() => void copyText(text, what)}>
        <CopyIcon fontSize="inherit" />
      </IconButton>
    </Tooltip>
  );
}

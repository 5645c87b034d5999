import Dialog from '@mui/material/Dialog';
import DialogContent from '@mui/material/DialogContent';
import DialogTitle from '@mui/material/DialogTitle';
import Table from '@mui/material/Table';
import TableBody from '@mui/material/TableBody';
import TableCell from '@mui/material/TableCell';
import TableRow from '@mui/material/TableRow';
import { useEffect, useState } from 'react';
import { useNavigate } from 'react-router';

const PLACES: Readonly<Record<string, { to: string; label: string }>> = {
  d: { to: '/', label: 'Dashboard' },
  v: { to: '/vehicles', label: 'Vehicles' },
  n: { to: '/commands/new', label: 'New command' },
  h: { to: '/commands', label: 'History' },
  p: { to: '/profile', label: 'Profile' },
};
/** So long after `g`, a letter is still the second half of it. */
const CHORD_MS = 1_500;

/** Keys that work on every page; `?` lists them. */
export function ShortcutsDialog() {
  const navigate = useNavigate();
  const [open, setOpen] = useState(false);
  useEffect(() => {
    let chordUntil = 0;
    const onKey = (event: KeyboardEvent) => {
      if (isTyping(event)) return;
      const place = event.timeStamp < chordUntil ? PLACES[event.key] : undefined;
      chordUntil = event.key === 'g' ? event.timeStamp + CHORD_MS : 0;
      if (place !== undefined) void navigate(place.to);
      else if (event.key === '?') setOpen(true);
      else if (event.key === '/') focusSearch(event);
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, [navigate]);
  return (
    <Dialog open={open} onClose={() => setOpen(false)} aria-labelledby="shortcuts-title">
      <DialogTitle id="shortcuts-title">Keyboard</DialogTitle>
      <DialogContent>
        <Table size="small">
          <TableBody>
            {Object.entries(PLACES).map(([key, { label }]) => (
              <Shortcut key={key} keys={`g ${key}`} label={label} />
            ))}
            <Shortcut keys="/" label="Search this page's list" />
            <Shortcut keys="?" label="This list" />
          </TableBody>
        </Table>
      </DialogContent>
    </Dialog>
  );
}

function Shortcut({ keys, label }: { keys: string; label: string }) {
  return (
    <TableRow>
      <TableCell>
        <kbd>{keys}</kbd>
      </TableCell>
      <TableCell>{label}</TableCell>
    </TableRow>
  );
}

function isTyping(event: KeyboardEvent): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey) return true;
  return event.target instanceof Element && event.target.closest('input, textarea, select, [role=dialog]') !== null;
}

function focusSearch(event: KeyboardEvent): void {
  const search = document.querySelector<HTMLInputElement>('input[type=search]');
  if (search === null) return;
  event.preventDefault();
  search.focus();
}

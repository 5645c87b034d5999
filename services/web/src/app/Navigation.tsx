import AddIcon from '@mui/icons-material/AddCircleOutlineOutlined';
import VehiclesIcon from '@mui/icons-material/DirectionsCarOutlined';
import UsersIcon from '@mui/icons-material/GroupOutlined';
import HistoryIcon from '@mui/icons-material/HistoryOutlined';
import DashboardIcon from '@mui/icons-material/SpaceDashboardOutlined';
import AuditIcon from '@mui/icons-material/VerifiedUserOutlined';
import Box from '@mui/material/Box';
import Divider from '@mui/material/Divider';
import List from '@mui/material/List';
import ListItemButton from '@mui/material/ListItemButton';
import ListItemIcon from '@mui/material/ListItemIcon';
import ListItemText from '@mui/material/ListItemText';
import Stack from '@mui/material/Stack';
import type SvgIcon from '@mui/material/SvgIcon';
import Typography from '@mui/material/Typography';
import { memo, useDeferredValue } from 'react';
import { NavLink, useLocation } from 'react-router';
import { Logo } from '../components/Logo';
import type { Role } from '../session/session';
import { useMay } from '../session/useSession';
import { UserMenu } from './UserMenu';

interface Entry {
  to: string;
  label: string;
  Icon: typeof SvgIcon;
  needs?: Role;
}

const ENTRIES: Entry[] = [
  { to: '/', label: 'Dashboard', Icon: DashboardIcon },
  { to: '/vehicles', label: 'Vehicles', Icon: VehiclesIcon },
  { to: '/commands/new', label: 'New command', Icon: AddIcon, needs: 'engineer' },
  { to: '/commands', label: 'History', Icon: HistoryIcon },
];
const ADMIN_ENTRIES: Entry[] = [
  { to: '/audit', label: 'Audit', Icon: AuditIcon },
  { to: '/users', label: 'Users', Icon: UsersIcon },
];

export function Navigation({ onNavigate }: { onNavigate: () => void }) {
  const isEngineer = useMay('engineer');
  const isAdmin = useMay('admin');
  return (
    <Stack component="header" sx={{ height: '100%' }}>
      <Stack direction="row" sx={{ gap: 1.25, alignItems: 'center', px: 2.5, pt: 2.5, pb: 1.5 }}>
        <Logo />
        <Typography component="span" variant="h2">
          sovd-webapp
        </Typography>
      </Stack>
      <Box component="nav" aria-label="Main" sx={{ flexGrow: 1, px: 1.25 }}>
        <Entries entries={ENTRIES.filter(({ needs }) => needs === undefined || isEngineer)} onNavigate={onNavigate} />
        {isAdmin && (
          <>
            <Divider sx={{ my: 1 }} />
            <Entries entries={ADMIN_ENTRIES} onNavigate={onNavigate} />
          </>
        )}
      </Box>
      <Divider />
      <UserMenu />
    </Stack>
  );
}

function Entries({ entries, onNavigate }: { entries: Entry[]; onNavigate: () => void }) {
  // Where one is going is drawn first, and then where that is.
  const pathname = useDeferredValue(useLocation().pathname);
  return (
    <List disablePadding component="div">
      {entries.map((entry) => (
        <EntryLink key={entry.to} entry={entry} current={isCurrent(entry.to, pathname)} onNavigate={onNavigate} />
      ))}
    </List>
  );
}

interface EntryLinkProps {
  entry: Entry;
  current: boolean;
  onNavigate: () => void;
}

const EntryLink = memo(function EntryLink({ entry, current, onNavigate }: EntryLinkProps) {
  const { to, label, Icon } = entry;
  return (
    <ListItemButton
      component={NavLink}
      to={to}
      end={to === '/' || to === '/commands'}
      selected={current}
      onClick={onNavigate}
      sx={{ borderRadius: 1.5, py: 0.875, mb: 0.25 }}
    >
      <ListItemIcon sx={{ minWidth: 36, color: 'inherit' }}>
        <Icon fontSize="small" />
      </ListItemIcon>
      <ListItemText primary={label} slotProps={{ primary: { variant: 'body2', sx: { fontWeight: 550 } } }} />
    </ListItemButton>
  );
});

/** A vehicle is among the vehicles, a command in the history. */
function isCurrent(to: string, pathname: string): boolean {
  if (to === '/' || pathname === to) return pathname === to;
  return pathname !== '/commands/new' && pathname.startsWith(`${to}/`);
}

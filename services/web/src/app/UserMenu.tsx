import DarkIcon from '@mui/icons-material/DarkModeOutlined';
import SystemIcon from '@mui/icons-material/DesktopWindowsOutlined';
import LightIcon from '@mui/icons-material/LightModeOutlined';
import LogOutIcon from '@mui/icons-material/LogoutOutlined';
import Box from '@mui/material/Box';
import IconButton from '@mui/material/IconButton';
import Link from '@mui/material/Link';
import Stack from '@mui/material/Stack';
import { useColorScheme } from '@mui/material/styles';
import ToggleButton from '@mui/material/ToggleButton';
import ToggleButtonGroup from '@mui/material/ToggleButtonGroup';
import Tooltip from '@mui/material/Tooltip';
import Typography from '@mui/material/Typography';
import { NavLink } from 'react-router';
import { queryClient } from '../api/queryClient';
import { toastProblem } from '../components/toast';
import { session } from '../session/session';
import { useUser } from '../session/useSession';

async function logOut(): Promise<void> {
  try {
    await session.logOut();
    queryClient.clear();
  } catch (error) {
    toastProblem('You are still logged in', error);
  }
}

export function UserMenu() {
  const user = useUser();
  return (
    <Stack sx={{ p: 2, gap: 1.5 }}>
      <ThemeChoice />
      <Stack direction="row" sx={{ alignItems: 'center', gap: 1 }}>
        <Box sx={{ flexGrow: 1, minWidth: 0 }}>
          <Link component={NavLink} to="/profile" variant="body2" noWrap sx={{ display: 'block', fontWeight: 600 }}>
            {user.full_name || user.username}
          </Link>
          <Typography variant="caption" color="textSecondary">
            {user.role}
          </Typography>
        </Box>
        <Tooltip title="Log out">
          <IconButton size="small" aria-label="Log out" onClick={() => void logOut()}>
            <LogOutIcon fontSize="small" />
          </IconButton>
        </Tooltip>
      </Stack>
    </Stack>
  );
}

const THEMES = [
  { mode: 'light', label: 'Light', Icon: LightIcon },
  { mode: 'dark', label: 'Dark', Icon: DarkIcon },
  { mode: 'system', label: 'As the system', Icon: SystemIcon },
] as const;

function ThemeChoice() {
  const { mode, setMode } = useColorScheme();
  return (
    <ToggleButtonGroup
      exclusive
      fullWidth
      size="small"
      value={mode}
      onChange={(_, chosen: (typeof THEMES)[number]['mode'] | null) => chosen !== null && setMode(chosen)}
      aria-label="Light or dark"
    >
      {THEMES.map(({ mode: value, label, Icon }) => (
        <ToggleButton key={value} value={value} aria-label={label} title={label} sx={{ py: 0.5 }}>
          <Icon fontSize="small" />
        </ToggleButton>
      ))}
    </ToggleButtonGroup>
  );
}

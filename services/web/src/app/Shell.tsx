import MenuIcon from '@mui/icons-material/Menu';
import AppBar from '@mui/material/AppBar';
import Box from '@mui/material/Box';
import Drawer from '@mui/material/Drawer';
import IconButton from '@mui/material/IconButton';
import Link from '@mui/material/Link';
import Toolbar from '@mui/material/Toolbar';
import Typography from '@mui/material/Typography';
import { memo, useCallback, useState } from 'react';
import { Outlet } from 'react-router';
import { ConnectionBanner } from './ConnectionBanner';
import { Navigation } from './Navigation';
import { ShortcutsDialog } from './ShortcutsDialog';
import { useLiveFeed } from './useLiveFeed';

const NAVIGATION_WIDTH = 232;
const MAIN = 'main';

/** What surrounds every page of a user who is logged in. It stays as it is when another page comes. */
export const Shell = memo(function Shell() {
  useLiveFeed();
  const [open, setOpen] = useState(false);
  const close = useCallback(() => setOpen(false), []);
  return (
    <Box sx={{ display: 'flex', minHeight: '100vh' }}>
      <SkipLink />
      <NarrowBar onOpen={() => setOpen(true)} />
      <Drawer open={open} onClose={close} sx={{ display: { lg: 'none' } }}>
        <Box sx={{ width: NAVIGATION_WIDTH, height: '100%' }}>
          <Navigation onNavigate={close} />
        </Box>
      </Drawer>
      <Drawer
        variant="permanent"
        sx={{
          width: NAVIGATION_WIDTH,
          flexShrink: 0,
          display: { xs: 'none', lg: 'block' },
          '& .MuiDrawer-paper': { width: NAVIGATION_WIDTH },
        }}
      >
        <Navigation onNavigate={close} />
      </Drawer>
      <Box sx={{ flexGrow: 1, minWidth: 0, pt: { xs: 7, lg: 0 } }}>
        <ConnectionBanner />
        <Box
          component="main"
          id={MAIN}
          tabIndex={-1}
          sx={{ p: { xs: 2, sm: 3 }, maxWidth: 1440, mx: 'auto', outline: 'none' }}
        >
          <Outlet />
        </Box>
      </Box>
      <ShortcutsDialog />
    </Box>
  );
});

function SkipLink() {
  return (
    <Link
      href={`#${MAIN}`}
      sx={{
        position: 'fixed',
        top: -60,
        left: 12,
        zIndex: 'tooltip',
        px: 2,
        py: 1,
        bgcolor: 'background.paper',
        borderRadius: 1,
        '&:focus': { top: 12 },
      }}
    >
      Skip to the content
    </Link>
  );
}

function NarrowBar({ onOpen }: { onOpen: () => void }) {
  return (
    <AppBar
      color="inherit"
      elevation={0}
      sx={{ display: { lg: 'none' }, borderBottom: 1, borderColor: 'divider' }}
      component="header"
    >
      <Toolbar variant="dense" sx={{ minHeight: 56, gap: 1 }}>
        <IconButton edge="start" onClick={onOpen} aria-label="Open the navigation">
          <MenuIcon />
        </IconButton>
        <Typography component="span" variant="h2">
          sovd-webapp
        </Typography>
      </Toolbar>
    </AppBar>
  );
}

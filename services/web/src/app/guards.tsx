import Box from '@mui/material/Box';
import Button from '@mui/material/Button';
import { useDeferredValue } from 'react';
import { Navigate, Outlet, useLocation } from 'react-router';
import { Notice } from '../components/Notice';
import { PageLoading } from '../components/PageLoading';
import { session, type Role } from '../session/session';
import { useMay, useSessionState, useUser } from '../session/useSession';

/** Lets users in who are logged in; sends others to the log-in page, which brings them back here. */
export function LoginGuard() {
  const state = useSessionState();
  const { pathname, search } = useLocation();
  // The first page is much to draw: in slices, between which the browser answers.
  const drawn = useDeferredValue(state.phase);
  switch (state.phase) {
    case 'restoring':
      return <PageLoading />;
    case 'unreachable':
      return <Unreachable />;
    case 'signed-out': {
      const back = pathname === '/' && search === '' ? '' : `?returnTo=${encodeURIComponent(pathname + search)}`;
      return <Navigate to={`/login${back}`} replace />;
    }
    case 'signed-in':
      return drawn === 'signed-in' ? <Outlet /> : <PageLoading />;
  }
}

export function RoleGuard({ needs }: { needs: Role }) {
  const may = useMay(needs);
  const user = useUser();
  if (may) return <Outlet />;
  return (
    <Notice title="This page is not for your role">
      It needs the role {needs}; you have the role {user.role}. An administrator can change that.
    </Notice>
  );
}

function Unreachable() {
  return (
    <Box component="main" sx={{ minHeight: '100vh', display: 'grid', placeItems: 'center' }}>
      <Notice
        title="The server cannot be reached"
        action={
          <Button variant="contained" onClick={() => void session.restore()}>
            Try again
          </Button>
        }
      >
        Check the connection. Nothing is lost: what vehicles answer meanwhile is recorded.
      </Notice>
    </Box>
  );
}

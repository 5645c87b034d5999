import Alert from '@mui/material/Alert';
import Box from '@mui/material/Box';
import Button from '@mui/material/Button';
import Card from '@mui/material/Card';
import Stack from '@mui/material/Stack';
import TextField from '@mui/material/TextField';
import Typography from '@mui/material/Typography';
import { useEffect, useState, type SubmitEvent } from 'react';
import { Navigate, useSearchParams } from 'react-router';
import { pages } from '../../app/pages';
import { ApiProblem, describeProblem } from '../../api/problem';
import { Logo } from '../../components/Logo';
import { PageLoading } from '../../components/PageLoading';
import { usePageTitle } from '../../components/usePageTitle';
import { session } from '../../session/session';
import { useSessionState } from '../../session/useSession';
import { safeReturn } from './safeReturn';

export function LoginPage() {
  usePageTitle('Log in');
  const state = useSessionState();
  const [search] = useSearchParams();
  if (state.phase === 'signed-in') return <Navigate to={safeReturn(search.get('returnTo'))} replace />;
  if (state.phase === 'restoring') return <PageLoading />;
  return (
    <Box component="main" sx={{ minHeight: '100vh', display: 'grid', placeItems: 'center', p: 2 }}>
      <Card sx={{ width: '100%', maxWidth: 400, p: 4 }}>
        <Stack direction="row" sx={{ gap: 1.5, alignItems: 'center', mb: 3 }}>
          <Logo size={36} />
          <div>
            <Typography variant="h1">Log in</Typography>
            <Typography color="textSecondary" variant="body2">
              Remote vehicle diagnostics
            </Typography>
          </div>
        </Stack>
        <LoginForm expired={state.phase === 'signed-out' && state.expired} />
      </Card>
    </Box>
  );
}

function LoginForm({ expired }: { expired: boolean }) {
  const [username, setUsername] = useState('');
  const [password, setPassword] = useState('');
  const { logIn, busy, problem } = useLogIn();
  useEffect(() => {
    // While somebody types, what comes next is fetched.
    const timer = setTimeout(() => void Promise.allSettled([pages.shell(), pages.dashboard()]), 1_500);
    return () => clearTimeout(timer);
  }, []);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    void logIn(username, password).then((loggedIn) => !loggedIn && setPassword(''));
  };
  return (
    <Stack component="form" onSubmit={submit} sx={{ gap: 2 }}>
      {expired && problem === undefined && (
        <Alert severity="info">Your session has ended. Log in to go on where you were.</Alert>
      )}
      {problem !== undefined && <Alert severity="error">{problem}</Alert>}
      <TextField
        label="Username"
        name="username"
        autoComplete="username"
        value={username}
        onChange={(event) => setUsername(event.target.value)}
        autoFocus
        required
        slotProps={{
          inputLabel: { required: false },
          htmlInput: { maxLength: 64, autoCapitalize: 'none', spellCheck: false },
        }}
      />
      <TextField
        label="Password"
        name="password"
        type="password"
        autoComplete="current-password"
        value={password}
        onChange={(event) => setPassword(event.target.value)}
        required
        slotProps={{ inputLabel: { required: false }, htmlInput: { maxLength: 256 } }}
      />
      <Button type="submit" variant="contained" size="large" loading={busy}>
        Log in
      </Button>
    </Stack>
  );
}

function useLogIn() {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string>();
  const logIn = async (username: string, password: string): Promise<boolean> => {
    setBusy(true);
    setProblem(undefined);
    try {
      await session.logIn(username, password);
      return true;
    } catch (error) {
      const refused = error instanceof ApiProblem && error.status === 401;
      setProblem(refused ? 'The username or the password is wrong.' : describeProblem(error));
      return false;
    } finally {
      setBusy(false);
    }
  };
  return { logIn, busy, problem };
}

import Button from '@mui/material/Button';
import Table from '@mui/material/Table';
import TableBody from '@mui/material/TableBody';
import TableCell from '@mui/material/TableCell';
import TableContainer from '@mui/material/TableContainer';
import TableHead from '@mui/material/TableHead';
import TableRow from '@mui/material/TableRow';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Pager } from '../../components/Pager';
import { Loaded } from '../../components/states';
import { Time } from '../../components/Time';
import { toast, toastProblem } from '../../components/toast';
import { useCursorPages } from '../../components/useCursorPages';
import { browserName } from './browserName';
import { endLoginSession, loginSessionsKey, loginSessionsQuery, type LoginSession } from './queries';

export function LoginSessions() {
  const pages = useCursorPages('');
  const query = useQuery(loginSessionsQuery(pages.cursor));
  return (
    <Loaded query={query}>
      {({ items, next_cursor }) => (
        <>
          <TableContainer tabIndex={0} role="region" aria-label="Table of your sessions">
            <Table size="small">
              <TableHead>
                <TableRow>
                  <TableCell>Where</TableCell>
                  <TableCell>Address</TableCell>
                  <TableCell>Logged in</TableCell>
                  <TableCell>Last used</TableCell>
                  <TableCell align="right">Actions</TableCell>
                </TableRow>
              </TableHead>
              <TableBody>
                {items.map((item) => (
                  <SessionRow key={item.session_id} login={item} />
                ))}
              </TableBody>
            </Table>
          </TableContainer>
          <Pager pages={pages} nextCursor={next_cursor} />
        </>
      )}
    </Loaded>
  );
}

function SessionRow({ login }: { login: LoginSession }) {
  return (
    <TableRow>
      <TableCell title={login.user_agent ?? undefined}>{browserName(login.user_agent)}</TableCell>
      <TableCell>{login.address}</TableCell>
      <TableCell>
        <Time at={login.created_at} />
      </TableCell>
      <TableCell>
        <Time at={login.last_used_at} style="relative" />
      </TableCell>
      <TableCell align="right">{login.current ? 'This session' : <EndButton sessionId={login.session_id} />}</TableCell>
    </TableRow>
  );
}

function EndButton({ sessionId }: { sessionId: string }) {
  const queries = useQueryClient();
  const ending = useMutation({
    mutationFn: () => endLoginSession(sessionId),
    onSuccess: () => toast('success', 'The session has ended.'),
    onError: (error) => toastProblem('The session was not ended', error),
    onSettled: () => queries.invalidateQueries({ queryKey: loginSessionsKey }),
  });
  return (
    <Button size="small" color="warning" loading={ending.isPending} onClick={() => ending.mutate()}>
      End
    </Button>
  );
}

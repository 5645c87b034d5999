import Table from '@mui/material/Table';
import TableBody from '@mui/material/TableBody';
import TableCell from '@mui/material/TableCell';
import TableContainer from '@mui/material/TableContainer';
import TableHead from '@mui/material/TableHead';
import TableRow from '@mui/material/TableRow';
import { Dot } from '../../components/Dot';
import { Time } from '../../components/Time';
import type { UserDetails } from './queries';
import { UserActions } from './UserActions';

export function UserTable({ users }: { users: readonly UserDetails[] }) {
  return (
    <TableContainer tabIndex={0} role="region" aria-label="Users">
      <Table size="small">
        <TableHead>
          <TableRow>
            <TableCell>Username</TableCell>
            <TableCell>Name</TableCell>
            <TableCell>E-mail</TableCell>
            <TableCell>Role</TableCell>
            <TableCell>State</TableCell>
            <TableCell>Last log-in</TableCell>
            <TableCell align="right">Actions</TableCell>
          </TableRow>
        </TableHead>
        <TableBody>
          {users.map((user) => (
            <TableRow key={user.user_id} hover>
              <TableCell>{user.username}</TableCell>
              <TableCell>{user.full_name}</TableCell>
              <TableCell>{user.email}</TableCell>
              <TableCell>{user.role}</TableCell>
              <TableCell>
                <Dot tone={user.is_active ? 'success' : 'neutral'}>{user.is_active ? 'Active' : 'Deactivated'}</Dot>
              </TableCell>
              <TableCell>
                <Time at={user.last_login_at} style="relative" none="never" />
              </TableCell>
              <TableCell align="right">
                <UserActions user={user} />
              </TableCell>
            </TableRow>
          ))}
        </TableBody>
      </Table>
    </TableContainer>
  );
}

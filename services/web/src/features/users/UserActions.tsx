import MoreIcon from '@mui/icons-material/MoreVert';
import IconButton from '@mui/material/IconButton';
import Menu from '@mui/material/Menu';
import MenuItem from '@mui/material/MenuItem';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { ConfirmDialog } from '../../components/ConfirmDialog';
import { toast } from '../../components/toast';
import { useUser } from '../../session/useSession';
import { EditUserDialog } from './EditUserDialog';
import { changeUser, usersKey, type UserDetails } from './queries';
import { ResetPasswordDialog } from './ResetPasswordDialog';

type Action = 'edit' | 'activity' | 'password';

export function UserActions({ user }: { user: UserDetails }) {
  const [anchor, setAnchor] = useState<HTMLElement | null>(null);
  const [action, setAction] = useState<Action>();
  const isOwn = useUser().user_id === user.user_id;
  const choose = (chosen: Action) => () => {
    setAnchor(null);
    setAction(chosen);
  };
  const close = () => setAction(undefined);
  return (
    <>
      <IconButton
        size="small"
        aria-label={`Actions for ${user.username}`}
        aria-haspopup="menu"
        onClick={(event) => setAnchor(event.currentTarget)}
      >
        <MoreIcon fontSize="small" />
      </IconButton>
      <Menu anchorEl={anchor} open={anchor !== null} onClose={() => setAnchor(null)}>
        <MenuItem onClick={choose('edit')}>Edit, change role</MenuItem>
        <MenuItem onClick={choose('password')}>Reset the password</MenuItem>
        <MenuItem onClick={choose('activity')} disabled={isOwn}>
          {user.is_active ? 'Deactivate' : 'Activate'}
        </MenuItem>
      </Menu>
      {action === 'edit' && <EditUserDialog user={user} isOwn={isOwn} onClose={close} />}
      {action === 'password' && <ResetPasswordDialog user={user} onClose={close} />}
      {action === 'activity' && <ActivityDialog user={user} onClose={close} />}
    </>
  );
}

function ActivityDialog({ user, onClose }: { user: UserDetails; onClose: () => void }) {
  const queries = useQueryClient();
  const [verb, done] = user.is_active ? ['Deactivate', 'deactivated'] : ['Activate', 'active again'];
  const change = useMutation({
    mutationFn: () => changeUser(user.user_id, { is_active: !user.is_active }),
    onSuccess: async () => {
      await queries.invalidateQueries({ queryKey: usersKey });
      toast('success', `${user.username} is ${done}.`);
      onClose();
    },
  });
  return (
    <ConfirmDialog
      open
      title={`${verb} ${user.username}?`}
      confirm={verb}
      color={user.is_active ? 'warning' : 'primary'}
      busy={change.isPending}
      error={change.error}
      onConfirm={() => change.mutate()}
      onClose={onClose}
    >
      {user.is_active
        ? 'Their sessions end at once, and they cannot log in until they are activated again. Their commands go on.'
        : 'They can log in again with the password they had.'}
    </ConfirmDialog>
  );
}

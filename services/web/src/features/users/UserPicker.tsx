import Typography from '@mui/material/Typography';
import { useQuery } from '@tanstack/react-query';
import { useDeferredValue, useState } from 'react';
import { SearchPicker } from '../../components/SearchPicker';
import { userQuery, usersQuery, type UserDetails } from './queries';

const SHOWN = 20;

interface UserPickerProps {
  label: string;
  /** Empty: none is chosen. */
  userId: string;
  onChange: (userId: string) => void;
}

/** Searches all users, which administrators may. */
export function UserPicker({ label, userId, onChange }: UserPickerProps) {
  const [search, setSearch] = useState('');
  const { data: chosen } = useQuery({ ...userQuery(userId), enabled: userId !== '' });
  const found = useQuery(usersQuery({ search: useDeferredValue(search), limit: SHOWN }));
  return (
    <SearchPicker
      label={label}
      placeholder="Name or e-mail"
      nothingFound="No user matches"
      value={userId === '' ? null : (chosen ?? null)}
      onChange={(user) => onChange(user?.user_id ?? '')}
      onSearch={setSearch}
      found={found}
      idOf={({ user_id: id }) => id}
      labelOf={labelOf}
      renderItem={(user) => (
        <>
          {user.username}
          <Typography component="span" variant="body2" color="textSecondary">
            {user.full_name}
          </Typography>
        </>
      )}
    />
  );
}

function labelOf(user: UserDetails): string {
  return user.username;
}

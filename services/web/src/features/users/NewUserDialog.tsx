import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { Choice } from '../../components/Choice';
import { FormDialog } from '../../components/FormDialog';
import { FormField } from '../../components/FormField';
import { toast } from '../../components/toast';
import { createUser, ROLES, SHORTEST_PASSWORD, usersKey, type NewUser } from './queries';

const EMPTY: NewUser = { username: '', full_name: '', email: '', password: '', role: 'engineer' };

export function NewUserDialog({ onClose }: { onClose: () => void }) {
  const queries = useQueryClient();
  const [user, setUser] = useState(EMPTY);
  const creating = useMutation({
    mutationFn: createUser,
    onSuccess: async ({ username }) => {
      await queries.invalidateQueries({ queryKey: usersKey });
      toast('success', `${username} can log in now.`);
      onClose();
    },
  });
  const field = (name: Exclude<keyof NewUser, 'role'>) => ({
    name,
    value: user[name],
    onChange: (value: string) => setUser({ ...user, [name]: value }),
    error: creating.error,
    required: true,
  });
  return (
    <FormDialog
      title="New user"
      submit="Create user"
      busy={creating.isPending}
      error={creating.error}
      onSubmit={() => creating.mutate(user)}
      onClose={onClose}
    >
      <FormField label="Username" autoComplete="off" autoFocus {...field('username')} />
      <FormField label="Full name" autoComplete="off" {...field('full_name')} />
      <FormField label="E-mail" type="email" autoComplete="off" {...field('email')} />
      <FormField
        label="First password"
        type="password"
        autoComplete="new-password"
        minLength={SHORTEST_PASSWORD}
        help={`At least ${SHORTEST_PASSWORD} characters; they can change it in their profile`}
        {...field('password')}
      />
      <Choice
        label="Role"
        value={user.role}
        options={ROLES}
        onChange={(role) => role !== '' && setUser({ ...user, role })}
      />
    </FormDialog>
  );
}

import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { Choice } from '../../components/Choice';
import { FormDialog } from '../../components/FormDialog';
import { FormField } from '../../components/FormField';
import { toast } from '../../components/toast';
import { session } from '../../session/session';
import { changeUser, ROLES, usersKey, type UserChange, type UserDetails } from './queries';

interface EditUserDialogProps {
  user: UserDetails;
  isOwn: boolean;
  onClose: () => void;
}

export function EditUserDialog({ user, isOwn, onClose }: EditUserDialogProps) {
  const queries = useQueryClient();
  const [fullName, setFullName] = useState(user.full_name);
  const [email, setEmail] = useState(user.email);
  const [role, setRole] = useState(user.role);
  const changing = useMutation({
    mutationFn: (change: UserChange) => changeUser(user.user_id, change),
    onSuccess: async () => {
      await queries.invalidateQueries({ queryKey: usersKey });
      if (isOwn) await session.readUser();
      toast(
        'success',
        role === user.role ? 'Saved.' : `${user.username} has the role ${role}; they have to log in again.`,
      );
      onClose();
    },
  });
  const { error } = changing;
  const submit = () => changing.mutate({ full_name: fullName, email, ...(role === user.role ? {} : { role }) });
  return (
    <FormDialog
      title={`Edit ${user.username}`}
      submit="Save"
      busy={changing.isPending}
      error={error}
      onSubmit={submit}
      onClose={onClose}
    >
      <FormField label="Full name" name="full_name" value={fullName} onChange={setFullName} error={error} autoFocus />
      <FormField label="E-mail" name="email" type="email" value={email} onChange={setEmail} error={error} required />
      <Choice
        label="Role"
        value={role}
        options={ROLES}
        disabled={isOwn}
        onChange={(chosen) => chosen !== '' && setRole(chosen)}
      />
    </FormDialog>
  );
}

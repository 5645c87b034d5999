import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import { FormDialog } from '../../components/FormDialog';
import { FormField } from '../../components/FormField';
import { toast } from '../../components/toast';
import { resetPassword, SHORTEST_PASSWORD, type UserDetails } from './queries';

export function ResetPasswordDialog({ user, onClose }: { user: UserDetails; onClose: () => void }) {
  const [password, setPassword] = useState('');
  const resetting = useMutation({
    mutationFn: () => resetPassword(user.user_id, password),
    onSuccess: () => {
      toast('success', `${user.username} has a new password; their sessions have ended.`);
      onClose();
    },
  });
  return (
    <FormDialog
      title={`Reset the password of ${user.username}`}
      submit="Reset password"
      busy={resetting.isPending}
      error={resetting.error}
      onSubmit={() => resetting.mutate()}
      onClose={onClose}
    >
      <FormField
        label="New password"
        name="new_password"
        type="password"
        autoComplete="new-password"
        value={password}
        onChange={setPassword}
        error={resetting.error}
        minLength={SHORTEST_PASSWORD}
        help={`At least ${SHORTEST_PASSWORD} characters. All sessions of the user end.`}
        required
        autoFocus
      />
    </FormDialog>
  );
}

import Alert from '@mui/material/Alert';
import Button from '@mui/material/Button';
import Stack from '@mui/material/Stack';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState, type SubmitEvent } from 'react';
import { ApiProblem, describeProblem } from '../../api/problem';
import { FormField } from '../../components/FormField';
import { toast } from '../../components/toast';
import { useUser } from '../../session/useSession';
import { SHORTEST_PASSWORD } from '../users/queries';
import { changePassword, loginSessionsKey } from './queries';

export function ChangePassword() {
  const queries = useQueryClient();
  const { username } = useUser();
  const [current, setCurrent] = useState('');
  const [next, setNext] = useState('');
  const { mutate, error, isPending } = useMutation({
    mutationFn: () => changePassword(current, next),
    onSuccess: () => {
      setCurrent('');
      setNext('');
      toast('success', 'Your password is changed; your other sessions have ended.');
      void queries.invalidateQueries({ queryKey: loginSessionsKey });
    },
  });
  const atFields = error instanceof ApiProblem && error.fieldErrors.size > 0;
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    mutate();
  };
  return (
    <Stack component="form" onSubmit={submit} sx={{ p: 2, gap: 2, maxWidth: 420 }}>
      {/* Password managers want to know whose it is. */}
      <input type="text" name="username" autoComplete="username" value={username} readOnly hidden />
      <FormField
        label="Current password"
        name="current_password"
        type="password"
        autoComplete="current-password"
        value={current}
        onChange={setCurrent}
        error={error}
        required
      />
      <FormField
        label="New password"
        name="new_password"
        type="password"
        autoComplete="new-password"
        minLength={SHORTEST_PASSWORD}
        help={`At least ${SHORTEST_PASSWORD} characters. Your other sessions end.`}
        value={next}
        onChange={setNext}
        error={error}
        required
      />
      {error !== null && !atFields && <Alert severity="error">{describeProblem(error)}</Alert>}
      <Button type="submit" variant="contained" loading={isPending} sx={{ alignSelf: 'start' }}>
        Change password
      </Button>
    </Stack>
  );
}

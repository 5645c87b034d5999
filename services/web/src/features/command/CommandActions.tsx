import Button from '@mui/material/Button';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { Link as RouterLink } from 'react-router';
import { answerOf, api, type Command } from '../../api/client';
import { copyText } from '../../components/CopyButton';
import { toast, toastProblem } from '../../components/toast';
import { useMay, useUser } from '../../session/useSession';
import { commandKey } from '../commands/queries';

export function CommandActions({ command, ended }: { command: Command; ended: boolean }) {
  const user = useUser();
  const mayCancel = user.role === 'admin' || user.user_id === command.user_id;
  const maySend = useMay('engineer');
  const link = `${window.location.origin}/commands/${command.command_id}`;
  return (
    <>
      <Button onClick={() => void copyText(link, 'Link')}>Copy link</Button>
      {maySend && ended && (
        <Button variant="outlined" component={RouterLink} to={`/commands/new?again=${command.command_id}`}>
          Send again…
        </Button>
      )}
      {mayCancel && !ended && <CancelButton commandId={command.command_id} />}
    </>
  );
}

const OUTCOMES = {
  prevented: { severity: 'success', text: 'Cancelled: it will never reach the vehicle.' },
  cancelled: { severity: 'success', text: 'Cancelled: it is not tried again.' },
  requested: { severity: 'info', text: 'The vehicle has the command and is asked to stop.' },
  too_late: { severity: 'warning', text: 'Too late: the command had already ended.' },
} as const;

function CancelButton({ commandId }: { commandId: string }) {
  const queries = useQueryClient();
  const cancel = useMutation({
    mutationFn: () =>
      answerOf(api.POST('/api/v1/commands/{command_id}/cancel', { params: { path: { command_id: commandId } } })),
    onSuccess: ({ outcome, command }) => {
      queries.setQueryData(commandKey(commandId), command);
      const { severity, text } = OUTCOMES[outcome];
      toast(severity, text);
    },
    onError: (error) => toastProblem('The command was not cancelled', error),
  });
  return (
    <Button variant="outlined" color="warning" loading={cancel.isPending} onClick={() => cancel.mutate()}>
      Cancel command
    </Button>
  );
}

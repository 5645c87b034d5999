import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from 'react-router';
import { commandKey, commandsKey } from '../commands/queries';
import { submitCommand } from '../commands/submit';

/** Sends the command and goes to its page, which has it already. */
export function useSubmit() {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const { mutate, isPending, error, reset } = useMutation({
    mutationFn: submitCommand,
    onSuccess: ({ command, traceId }) => {
      queries.setQueryData(commandKey(command.command_id), command);
      void navigate(`/commands/${command.command_id}`, { state: { traceId } });
      void queries.invalidateQueries({ queryKey: [...commandsKey, 'list'] });
    },
  });
  return { submit: mutate, busy: isPending, error, reset };
}
